using System.Globalization;
using System.Text;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Options of <see cref="IAdmin.RedriveAsync"/>.</summary>
public sealed record RedriveOptions
{
    /// <summary>Selects the dead letters to send back; null for all. One that is not selected counts as done: to try it later, use another
    /// <see cref="GroupId"/>.</summary>
    public Func<ConsumeResult<byte[]?, byte[]?>, bool>? Filter { get; init; }

    /// <summary>The group whose committed offsets say what is done, so that a later redrive continues there. Null for the dead-letter
    /// topic's name and <c>.redrive</c>.</summary>
    public string? GroupId { get; init; }
}

/// <summary>What <see cref="IAdmin.RedriveAsync"/> did.</summary>
/// <param name="Redriven">Records that were sent back.</param>
/// <param name="Filtered">Dead letters that the filter did not select.</param>
/// <param name="Duplicates">Dead letters of a record and group of which another one was sent back, among the last 1,000,000.</param>
/// <param name="WithoutSource">Records that do not say where they came from, and those whose topic does not exist any more.</param>
public sealed record RedriveResult(long Redriven, long Filtered, long Duplicates, long WithoutSource);

/// <summary>Sends dead letters back to where they came from.</summary>
internal sealed class Redrive(IBroker broker, string topic, RedriveOptions options)
{
    /// <summary>What the name of the group that keeps the progress has after that of the topic, unless the options say
    /// otherwise.</summary>
    public const string GroupSuffix = ".redrive";

    // Some 60 MB.
    private const int RememberedLetters = 1_000_000;
    // How many records are sent before their dead letters are committed.
    private const int RecordsPerCommit = 1_000;

    /// <summary>How long a record is waited for before the partition is asked whether there is one.</summary>
    public TimeSpan MaxWait { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long a partition that returns nothing, and does not say that it has nothing, is waited for.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(15);

    private readonly string _groupId = options.GroupId ?? topic + GroupSuffix;
    private readonly Dictionary<string, int> _partitionsOf = new(StringComparer.Ordinal);
    private readonly SentLetters _sent = new(RememberedLetters);
    private Guid _topicId;
    private RedriveResult _result = new(0, 0, 0, 0);

    public async Task<RedriveResult> RunAsync(CancellationToken cancellationToken)
    {
        var listing = await broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        (var count, _topicId) = (listing.Partitions, listing.TopicId);
        TopicPartition[] partitions = [.. Enumerable.Range(0, count).Select(partition => new TopicPartition(topic, partition))];
        // Seen before anything is sent: a record that fails again is not sent twice.
        var ends = new long[count];
        foreach (var partition in partitions)
            ends[partition.Partition] = await FindAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false);
        var done = await FetchAsync(partitions, cancellationToken).ConfigureAwait(false);
        await using var producer = new Producer<byte[]?, byte[]?>(broker, Serdes.Bytes, Serdes.Bytes,
            new ProducerOptions { MaxRequestSize = 16 << 20 });
        foreach (var partition in partitions)
        {
            var start = Math.Max(done.GetValueOrDefault(partition),
                await FindAsync(partition, OffsetSpec.Earliest, cancellationToken).ConfigureAwait(false));
            await RunAsync(partition, start, ends[partition.Partition], producer, cancellationToken).ConfigureAwait(false);
        }
        return _result;
    }

    private async Task RunAsync(TopicPartition partition, long start, long end, Producer<byte[]?, byte[]?> producer,
        CancellationToken cancellationToken)
    {
        if (start >= end)
            return;
        await using var reader = new PartitionReader<byte[]?, byte[]?>(broker, Serdes.Bytes, Serdes.Bytes, new ReaderOptions());
        reader.Assign(partition, ReadFrom.Offset(start));
        var sending = new List<Task>();
        var since = TimeProvider.System.GetTimestamp();
        for (var next = start; next < end;)
        {
            // Before the read, which returns what was fetched until then.
            var exhaustedTo = reader.ExhaustedTo(partition);
            var read = await reader.ReadAsync(MaxWait, cancellationToken).ConfigureAwait(false);
            if (read is { } letter)
            {
                (next, since) = (letter.Offset + 1, TimeProvider.System.GetTimestamp());
                if (letter.Offset < end && await ReturnedAsync(letter, cancellationToken).ConfigureAwait(false) is { } record)
                    sending.Add(producer.SendAsync(record, cancellationToken).AsTask());
            }
            if (read is not null && sending.Count < RecordsPerCommit && next < end)
                continue;
            await Task.WhenAll(sending).ConfigureAwait(false);
            _result = _result with { Redriven = _result.Redriven + sending.Count };
            sending.Clear();
            if (next > start)
                await CommitAsync(partition, Math.Min(next, end), cancellationToken).ConfigureAwait(false);
            // The last offsets may have no records: what compaction left, or control batches.
            if (read is null && exhaustedTo >= end)
                return;
            if (read is null && TimeProvider.System.GetElapsedTime(since) >= Patience)
            {
                throw new BrokerException(ErrorCode.LeaderNotAvailable, $"{partition} has returned nothing at offset {next} for "
                    + $"{Patience.TotalSeconds:0.#} s, and its dead letters go up to offset {end}. Those before are sent back and "
                    + $"committed in group '{_groupId}'. Redrive again when the partition has a leader.");
            }
        }
    }

    /// <summary>Returns the record that a dead letter was made of; null if it is not to be sent.</summary>
    private async ValueTask<ProducerRecord<byte[]?, byte[]?>?> ReturnedAsync(ConsumeResult<byte[]?, byte[]?> letter,
        CancellationToken cancellationToken)
    {
        var source = letter.Headers.Source();
        var partitions = source is { } from ? await CountAsync(from.Partition.Topic, cancellationToken).ConfigureAwait(false) : 0;
        if (partitions == 0)
            _result = _result with { WithoutSource = _result.WithoutSource + 1 };
        else if (options.Filter?.Invoke(letter) == false)
            _result = _result with { Filtered = _result.Filtered + 1 };
        else if (!_sent.TryAdd(source!.Value.Partition, source.Value.Offset, letter.Headers.Last(DeadLetterHeaders.Group),
            letter.Headers.Last(DeadLetterHeaders.Timestamp)))
            _result = _result with { Duplicates = _result.Duplicates + 1 };
        else
            return new ProducerRecord<byte[]?, byte[]?>(source.Value.Partition.Topic, letter.Key, letter.Value)
            {
                // A topic that was created again may have fewer partitions.
                Partition = source.Value.Partition.Partition < partitions ? source.Value.Partition.Partition : null,
                Headers = HeadersOf(letter),
            };
        return null;
    }

    /// <summary>Returns the record's own headers, how often it was sent back, and, of one with an id, what makes this the same message when
    /// it is sent again.</summary>
    private RecordHeader[] HeadersOf(ConsumeResult<byte[]?, byte[]?> letter)
    {
        var times = (letter.Headers.Number(DeadLetterHeaders.Redrives) ?? 0) + 1;
        var headers = letter.Headers.Where(static header => !header.Name().StartsWith(DeadLetterHeaders.Prefix, StringComparison.Ordinal))
            .ToList();
        if (letter.Headers.IndexOf(DeadLetterHeaders.MessageId) is >= 0 and var id)
            headers.Add(new RecordHeader(Encoding.UTF8.GetBytes(MessageHeaders.MessageId), letter.Headers[id].Value));
        headers.Add(RecordHeaders.Text(DeadLetterHeaders.Redrives, times.ToString(CultureInfo.InvariantCulture)));
        if (letter.Headers.IndexOf(DeadLetterHeaders.MessageId) >= 0 || letter.Headers.IndexOf(MessageHeaders.MessageId) >= 0)
            headers.Add(RecordHeaders.Text(DeadLetterHeaders.RedrivenFrom,
                string.Create(CultureInfo.InvariantCulture, $"{_topicId:N}/{letter.TopicPartition.Partition}/{letter.Offset}/{_groupId}")));
        return [.. headers];
    }

    /// <summary>Returns a topic's number of partitions; 0 if it does not exist.</summary>
    private async ValueTask<int> CountAsync(string source, CancellationToken cancellationToken)
    {
        if (_partitionsOf.TryGetValue(source, out var known))
            return known;
        try
        {
            return _partitionsOf[source] = (await broker.GetTopicAsync(source, cancellationToken).ConfigureAwait(false)).Partitions;
        }
        catch (BrokerException e) when (e.Code == ErrorCode.UnknownTopicOrPartition)
        {
            return _partitionsOf[source] = 0;
        }
    }

    private async Task<long> FindAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken)
    {
        var found = await broker.FindOffsetAsync(partition, spec, cancellationToken).ConfigureAwait(false);
        return found.Error == ErrorCode.None ? found.Offset : throw new BrokerException(found.Error, found.Message ?? $"{found.Error}");
    }

    private async Task<Dictionary<TopicPartition, long>> FetchAsync(TopicPartition[] partitions, CancellationToken cancellationToken)
    {
        var fetched = await broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = _groupId, Partitions = partitions },
            cancellationToken).ConfigureAwait(false);
        if (fetched.Error != ErrorCode.None)
            throw new BrokerException(fetched.Error, fetched.Message ?? $"{fetched.Error}");
        return fetched.Partitions.Where(static partition => partition.Offset is not null)
            .ToDictionary(static partition => partition.Partition, static partition => partition.Offset!.Offset);
    }

    private async Task CommitAsync(TopicPartition partition, long offset, CancellationToken cancellationToken)
    {
        var result = await broker.Groups.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = _groupId,
            Offsets = [new PartitionOffset(partition.Topic, partition.Partition, new CommittedOffset(offset))],
        }, cancellationToken).ConfigureAwait(false);
        if (result.Partitions[0].Error is not ErrorCode.None and var error)
            throw new BrokerException(error, $"The progress of the redrive cannot be committed in group '{_groupId}': {error}");
    }
}
