"""Datasets of trainers: which cases they have, what is wrong with these, how they are parted."""
