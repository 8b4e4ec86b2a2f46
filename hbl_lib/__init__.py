"""Bilevel search of training loss and architecture for image restoration (HBL, Zhu et al., IJCAI 2022)."""
