"""Pictures as their own pixels, in terminals that have Kitty's graphics protocol; read only where they are chosen."""
