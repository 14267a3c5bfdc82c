"""Networks that predict noise, image or v from a noised image."""
