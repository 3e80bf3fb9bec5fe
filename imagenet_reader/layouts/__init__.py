"""The layouts in which people have ImageNet; ``find.find_layout`` says which one a folder has."""
