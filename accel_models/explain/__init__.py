"""Machines and mappings taken apart for people: data sheets, one layer, departures."""
