"""The vulnerability database: installed, checked, updated."""
