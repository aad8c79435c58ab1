using System.Collections;

namespace OrleansMq.Tests.Chaos.Verification;

/// <summary>Checks the records of one partition in offset order: no holes, no duplicates, and each producer's records in send order. One
/// object for one pass; not thread safe.</summary>
internal sealed class RecordSequence(int partition, long start, Ledger ledger, Violations violations, string who)
{
    private readonly Dictionary<int, Seen> _seen = [];

    /// <summary>The next expected offset.</summary>
    public long Next { get; private set; } = start;

    /// <summary>Skips a record that cannot be identified; the reader has reported it.</summary>
    public void Skip(long offset) => Next = offset + 1;

    public void Take(long offset, RecordId id)
    {
        if (offset != Next)
            violations.Report(ViolationKind.Hole, $"{who}: partition {partition} continues at offset {offset} instead of {Next}.");
        Next = offset + 1;
        if (ledger.Find(partition, id) is null)
        {
            violations.Report(ViolationKind.NeverSent,
                $"{who}: partition {partition} offset {offset} is {id}, which was never sent there.");
            return;
        }
        if (!_seen.TryGetValue(id.Producer, out var seen))
            _seen.Add(id.Producer, seen = new Seen());
        if (!seen.Add(id.Number))
            violations.Report(ViolationKind.Doubled, $"{who}: partition {partition} offset {offset} is {id}, which appeared before.");
        // Numbers may be missing (a record that was refused, or of unknown outcome), but never decrease.
        else if (id.Number < seen.Last && ledger.IsOrdered(id.Producer))
            violations.Report(ViolationKind.Reordered,
                $"{who}: partition {partition} offset {offset} is {id} after {id.Producer}/{seen.Last}.");
        seen.Last = Math.Max(seen.Last, id.Number);
    }

    /// <summary>The numbers of one producer, one bit each, since there are millions.</summary>
    private sealed class Seen
    {
        private readonly BitArray _numbers = new(1024);

        public long Last { get; set; } = -1;

        public bool Add(long number)
        {
            if (number >= _numbers.Length)
                _numbers.Length = Math.Max(_numbers.Length * 2, (int)number + 1);
            var isNew = !_numbers[(int)number];
            _numbers[(int)number] = true;
            return isNew;
        }
    }
}
