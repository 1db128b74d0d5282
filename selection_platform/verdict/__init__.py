"""Does the choice beat picking at random?"""
