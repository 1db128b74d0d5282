"""The methods that are compared, and the keys of the experiments that compare them."""
