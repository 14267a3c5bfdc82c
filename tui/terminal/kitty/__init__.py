"""Images as real pixels, in terminals with Kitty's graphics protocol; imported only where the user has chosen them."""
