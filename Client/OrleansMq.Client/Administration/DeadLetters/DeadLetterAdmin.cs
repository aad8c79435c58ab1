using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Shows dead letters over a broker. See <see cref="IDeadLetterAdmin"/>.</summary>
internal sealed class DeadLetterAdmin(IBroker broker) : IDeadLetterAdmin
{
    /// <summary>The most records that one call reads.</summary>
    public const int MostRead = 1_000_000;
    /// <summary>The most dead letters that one call returns.</summary>
    public const int MostLetters = 10_000;

    private readonly LetterScan _scan = new(broker);

    public async Task<IReadOnlyList<DeadLetterTopic>> ListAsync(int maxRead, CancellationToken cancellationToken)
    {
        Require(maxRead, MostRead, nameof(maxRead));
        var topics = (await broker.ListTopicsAsync(cancellationToken).ConfigureAwait(false))
            .Where(static topic => topic.Name.EndsWith(DeadLetters.TopicSuffix, StringComparison.Ordinal));
        var summaries = await SummarizeAsync(topics, maxRead, cancellationToken).ConfigureAwait(false);
        return [.. summaries.Where(static topic => topic.Held > 0)];
    }

    public async Task<DeadLetterTopic> DescribeAsync(string deadLetterTopic, int maxRead, CancellationToken cancellationToken)
    {
        Require(maxRead, MostRead, nameof(maxRead));
        var topic = await broker.GetTopicAsync(deadLetterTopic, cancellationToken).ConfigureAwait(false);
        return (await SummarizeAsync([topic], maxRead, cancellationToken).ConfigureAwait(false)).SingleOrDefault()
            ?? throw new BrokerException(ErrorCode.UnknownTopicOrPartition, $"Topic '{deadLetterTopic}' was deleted meanwhile.");
    }

    public async Task<DeadLetterPage> ReadAsync(string deadLetterTopic, DeadLetterQuery? query, CancellationToken cancellationToken)
    {
        query ??= new DeadLetterQuery();
        Require(query.MaxRead, MostRead, nameof(query.MaxRead));
        Require(query.MaxLetters, MostLetters, nameof(query.MaxLetters));
        var topic = await broker.GetTopicAsync(deadLetterTopic, cancellationToken).ConfigureAwait(false);
        var extents = await _scan.MeasureAsync([topic], query.MaxRead, cancellationToken).ConfigureAwait(false);
        var redriven = await RedrivenAsync(deadLetterTopic, extents, cancellationToken).ConfigureAwait(false);
        // The newest of those that were selected.
        var letters = new PriorityQueue<DeadLetter, (long, int, long)>();
        var (read, selected) = (0L, 0L);
        await _scan.ReadAsync(extents, record =>
        {
            read++;
            var letter = record.Describe(redriven.Passed(record.TopicPartition, record.Offset));
            if ((query.SourceTopic is not null && letter.SourceTopic != query.SourceTopic)
                || (query.GroupId is not null && letter.GroupId != query.GroupId))
                return;
            selected++;
            letters.Enqueue(letter, (letter.Timestamp, letter.Partition, letter.Offset));
            if (letters.Count > query.MaxLetters)
                letters.Dequeue();
        }, cancellationToken).ConfigureAwait(false);
        var shown = new List<DeadLetter>(letters.Count);
        while (letters.TryDequeue(out var letter, out _))
            shown.Add(letter);
        return new DeadLetterPage(shown, extents.Sum(static extent => extent.End - extent.First), read,
            extents.All(static extent => extent.Start == extent.First), selected);
    }

    private async Task<IReadOnlyList<DeadLetterTopic>> SummarizeAsync(IEnumerable<TopicListing> topics, int maxRead,
        CancellationToken cancellationToken)
    {
        var extents = (await _scan.MeasureAsync(topics, maxRead, cancellationToken).ConfigureAwait(false))
            .GroupBy(static extent => extent.Partition.Topic).OrderBy(static topic => topic.Key, StringComparer.Ordinal);
        var summaries = new List<DeadLetterTopic>();
        foreach (var topic in extents)
        {
            var redriven = await RedrivenAsync(topic.Key, topic, cancellationToken).ConfigureAwait(false);
            var tally = new SourceTally();
            await _scan.ReadAsync(topic, record =>
                tally.Add(record.Describe(redriven.Passed(record.TopicPartition, record.Offset))), cancellationToken).ConfigureAwait(false);
            summaries.Add(tally.Summarize(topic.Key, [.. topic]));
        }
        return summaries;
    }

    private async Task<RedriveProgress> RedrivenAsync(string topic, IEnumerable<LetterScan.Extent> extents,
        CancellationToken cancellationToken)
    {
        TopicPartition[] partitions = [.. extents.Select(static extent => extent.Partition)];
        var fetched = await broker.Groups.FetchOffsetsAsync(
            new OffsetFetch { GroupId = topic + Redrive.GroupSuffix, Partitions = partitions }, cancellationToken).ConfigureAwait(false);
        return fetched.Error switch
        {
            ErrorCode.None => new RedriveProgress(fetched.Partitions.Where(static partition => partition.Offset is not null)
                .ToDictionary(static partition => partition.Partition, static partition => partition.Offset!.Offset)),
            // One may read the topic, and not the group.
            ErrorCode.GroupAuthorizationFailed => new RedriveProgress(null),
            var error => throw new BrokerException(error, fetched.Message ?? $"{error}"),
        };
    }

    private static void Require(int value, int most, string name)
    {
        if (value < 1 || value > most)
            throw new ArgumentOutOfRangeException(name, value, $"{name} is from 1 to {most}.");
    }

    /// <summary>How far redrives got; null if that may not be read.</summary>
    private readonly record struct RedriveProgress(Dictionary<TopicPartition, long>? Committed)
    {
        public bool? Passed(TopicPartition partition, long offset) =>
            Committed is null ? null : offset < Committed.GetValueOrDefault(partition);
    }
}
