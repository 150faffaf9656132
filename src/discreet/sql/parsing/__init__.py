"""From text to our own nodes: what can be asked, and refusals that name the clause."""
