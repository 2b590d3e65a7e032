"""Judge many certificates that somebody has collected, as `pinverify audit` does.

    inputs ──► readers ──► batches ──► judge ──► summary, findings
    files      tables      rows        policy    what is printed, -o, --plot
    folders    tiles

Every reader yields batches of some thousand rows, so memory does not grow with the
input. For a part that it cannot read, a reader yields a fault that names the part, and
then goes on if it can.

The design is for ten million rows. With a column of hosts, the core hashes and judges
whole batches, and Python looks only at rows that have a rule. Without such a column,
the names in each certificate count, and reading them takes 50 times as long as reading
the key. So each batch is first searched, as bytes, for the domains of the policy: a
certificate without any of them has no name with a rule. `cryptography`, imported when
needed, reads the names of the other certificates, even of those with a pinned key: that
key may be pinned for another host.
"""
