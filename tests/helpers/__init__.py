"""What several tests ask or need: rows as they should be, faults, a stand-in for the Hub, the pages of the manual."""
