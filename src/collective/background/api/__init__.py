"""What add-ons call: the functions of the public face, a module per noun."""
