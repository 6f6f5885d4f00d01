"""What a network costs on a machine: simulated at fixed widths, or tabulated choice by choice."""
