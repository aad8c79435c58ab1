using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Queues.Publishes;

/// <summary>What was published under message ids, again and again, judged against the log: each acknowledged id is there once, at the
/// offset that was answered; no id is there twice. Thread safe.</summary>
internal sealed class PublishHistory(Violations violations)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(int Partition, long Number), Story> _stories = [];

    /// <summary>Publishes of ids that had been sent before.</summary>
    public long Repeated { get; private set; }

    /// <summary>The number of ids.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
                return _stories.Count;
        }
    }

    /// <summary>An id is about to be sent to a partition.</summary>
    public void Send(int partition, long number)
    {
        lock (_lock)
        {
            if (!_stories.TryAdd((partition, number), new Story()))
                Repeated++;
        }
    }

    /// <summary>A publish of an id was acknowledged.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="number">The id.</param>
    /// <param name="offset">The answered offset, where the record was sent alone; otherwise -1: what is left out of a batch takes an offset
    /// there.</param>
    public void Acknowledge(int partition, long number, long offset)
    {
        lock (_lock)
        {
            var story = _stories[(partition, number)];
            story.IsAcknowledged = true;
            if (offset >= 0)
                story.Answered.Add(offset);
        }
    }

    /// <summary>The log has a record.</summary>
    /// <param name="partition">The partition.</param>
    /// <param name="offset">The record's offset.</param>
    /// <param name="value">Its value, which tells the id.</param>
    public void Take(int partition, long offset, ReadOnlyMemory<byte>? value)
    {
        lock (_lock)
        {
            if (value is not { } bytes || !RecordValue.TryRead(bytes.Span, out var id))
                violations.Report(ViolationKind.Damaged, $"ids, partition {partition}, offset {offset} has a value that was never sent.");
            else if (id.Producer != partition || !_stories.TryGetValue((partition, id.Number), out var story))
                violations.Report(ViolationKind.NeverSent, $"ids, partition {partition}, offset {offset} is {id}, which was never sent "
                    + "there.");
            else
                story.Offsets.Add(offset);
        }
    }

    /// <summary>Judges, once the whole log was read.</summary>
    public void Judge()
    {
        lock (_lock)
        {
            foreach (var ((partition, number), story) in _stories)
            {
                var what = $"id {number} of partition {partition}, in the log at {string.Join(", ", story.Offsets)}";
                if (story.Offsets.Count > 1)
                    violations.Report(ViolationKind.Doubled, $"{what}, is there {story.Offsets.Count} times.");
                else if (story.IsAcknowledged && story.Offsets.Count == 0)
                    violations.Report(ViolationKind.Lost, $"{what} nowhere, was acknowledged at offsets "
                        + $"{string.Join(", ", story.Answered)}.");
                else if (story.Answered.Any(answered => answered != story.Offsets[0]))
                    violations.Report(ViolationKind.Changed, $"{what}, was acknowledged at offsets {string.Join(", ", story.Answered)}.");
            }
        }
    }

    private sealed class Story
    {
        public bool IsAcknowledged { get; set; }
        public HashSet<long> Answered { get; } = [];
        public List<long> Offsets { get; } = [];
    }
}
