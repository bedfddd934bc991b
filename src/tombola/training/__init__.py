"""Training: recipes, stacks of networks, the loop that trains them and the engines that compute."""
