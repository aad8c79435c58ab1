namespace OrleansMq.Client;

/// <summary>Keeps the newest dead letters that a query selects, as many as it allows, and no more text of them than
/// <see cref="MaxText"/>.</summary>
/// <param name="query">The query.</param>
internal sealed class LetterPage(DeadLetterQuery query)
{
    /// <summary>The most characters that the dead letters of a page have together: 2 Mi.</summary>
    public const int MaxText = 2 << 20;

    private readonly string? _group = query.GroupId is { } group ? LetterHeaders.Cut(group, LetterHeaders.MaxGroup) : null;
    private readonly PriorityQueue<DeadLetter, (long, int, long)> _newest = new();
    private long _text;
    private long _read;
    private long _selected;

    /// <summary>Considers a dead letter.</summary>
    public void Add(DeadLetter letter)
    {
        _read++;
        if ((query.SourceTopic is not null && letter.SourceTopic != query.SourceTopic) || (_group is not null && letter.GroupId != _group))
            return;
        _selected++;
        _newest.Enqueue(letter, (letter.Timestamp, letter.Partition, letter.Offset));
        _text += TextOf(letter);
        while (_newest.Count > query.MaxLetters || _text > MaxText)
            _text -= TextOf(_newest.Dequeue());
    }

    /// <summary>Returns the page, oldest first.</summary>
    /// <param name="extents">What the partitions hold, and what of it was to be read.</param>
    /// <param name="isComplete">Whether that was read.</param>
    public DeadLetterPage Finish(IReadOnlyList<LetterScan.Extent> extents, bool isComplete)
    {
        var letters = new List<DeadLetter>(_newest.Count);
        while (_newest.TryDequeue(out var letter, out _))
            letters.Add(letter);
        return new DeadLetterPage(letters, extents.Sum(static extent => extent.End - extent.First), _read,
            isComplete && extents.All(static extent => extent.Start == extent.First), _selected);
    }

    private static long TextOf(DeadLetter letter) => LengthOf(letter.SourceTopic) + LengthOf(letter.GroupId) + LengthOf(letter.Reason)
        + LengthOf(letter.ExceptionType) + LengthOf(letter.ExceptionMessage);

    private static long LengthOf(string? text) => text?.Length ?? 0;
}
