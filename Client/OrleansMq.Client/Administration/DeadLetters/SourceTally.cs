namespace OrleansMq.Client;

/// <summary>Counts the dead letters of one dead-letter topic by where they came from.</summary>
/// <param name="room">Bounds how many sources and causes are told apart.</param>
internal sealed class SourceTally(TextRoom room)
{
    private const int MaxCauses = 10;
    private const int MaxCauseLength = 200;

    private readonly Dictionary<(string Topic, string? Group), Source> _sources = [];
    private long _read;
    private long _withoutSource;
    private long _others;

    /// <summary>Counts a dead letter.</summary>
    public void Add(DeadLetter letter)
    {
        _read++;
        if (letter.SourceTopic is not { } topic)
        {
            _withoutSource++;
            return;
        }
        if (!_sources.TryGetValue((topic, letter.GroupId), out var source))
        {
            if (!room.TryTake(topic.Length + (letter.GroupId?.Length ?? 0)))
            {
                _others++;
                return;
            }
            _sources.Add((topic, letter.GroupId), source = new Source(room));
        }
        source.Add(letter);
    }

    /// <summary>Returns the summary.</summary>
    /// <param name="topic">The dead-letter topic.</param>
    /// <param name="extents">What its partitions hold, and what of it was to be read.</param>
    /// <param name="isComplete">Whether that was read.</param>
    public DeadLetterTopic Summarize(string topic, IReadOnlyCollection<LetterScan.Extent> extents, bool isComplete) =>
        new(topic, extents.Sum(static extent => extent.End - extent.First), _read,
            isComplete && extents.All(static extent => extent.Start == extent.First), _withoutSource, _others,
            [.. _sources.OrderBy(static source => source.Key.Topic, StringComparer.Ordinal)
                .ThenBy(static source => source.Key.Group, StringComparer.Ordinal)
                .Select(static source => source.Value.Summarize(source.Key.Topic, source.Key.Group))]);

    private sealed class Source(TextRoom room)
    {
        private readonly Dictionary<string, long> _causes = new(StringComparer.Ordinal);
        private long _letters;
        private long? _redriven = 0;
        private long _oldest = long.MaxValue;
        private long _newest = long.MinValue;

        public void Add(DeadLetter letter)
        {
            _letters++;
            _redriven += letter.IsRedriven is { } redriven ? redriven ? 1 : 0 : null;
            _oldest = Math.Min(_oldest, letter.Timestamp);
            _newest = Math.Max(_newest, letter.Timestamp);
            var cause = LetterHeaders.Cut(letter.Cause, MaxCauseLength);
            if (_causes.TryGetValue(cause, out var letters) || room.TryTake(cause.Length))
                _causes[cause] = letters + 1;
        }

        public DeadLetterSource Summarize(string topic, string? group) => new(topic, group, _letters, _redriven, _oldest, _newest,
            [.. _causes.OrderByDescending(static cause => cause.Value).ThenBy(static cause => cause.Key, StringComparer.Ordinal)
                .Take(MaxCauses).Select(static cause => new DeadLetterCause(cause.Key, cause.Value))]);
    }
}
