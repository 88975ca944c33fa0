"""What `forewarn doctor` looks at: one module a place, each check with what was found and how to mend it."""
