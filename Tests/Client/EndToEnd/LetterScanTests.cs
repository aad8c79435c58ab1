using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Client.EndToEnd;

/// <summary>Reading dead letters from brokers that fail, refuse, or hold what clients sent to do harm.</summary>
public sealed class LetterScanTests
{
    private const string Topic = "t.dead-letter";
    private const long Much = 1 << 30;
    private static readonly TopicPartition First = new(Topic, 0);
    private static readonly TopicPartition Second = new(Topic, 1);

    private readonly ScriptedBroker _broker = new((Topic, 2));
    private readonly List<long> _read = [];

    private LetterScan Patient => new(_broker) { Patience = Wait.Deadline };
    private LetterScan Hasty => new(_broker) { Patience = TimeSpan.FromMilliseconds(300) };

    [Fact]
    public async Task Partition_without_a_leader_is_waited_for_and_then_reported()
    {
        Append(First, Batch());
        Append(Second, Batch());
        var refusals = 2;
        FetchBy(request => request.Partition == Second && --refusals >= 0
            ? FetchResult.Failed(ErrorCode.LeaderNotAvailable, "no leader") : null);

        Assert.True(await ReadAsync(Patient));
        Assert.Equal([0, 0], _read);
        refusals = int.MaxValue;
        Assert.Equal(ErrorCode.LeaderNotAvailable, (await Assert.ThrowsAsync<BrokerException>(() => ReadAsync(Hasty))).Code);
    }

    [Fact]
    public async Task Offsets_that_hold_no_records_any_more_end_the_scan()
    {
        Append(First, Batch());
        _broker.OnFindOffset = static (_, spec) => new OffsetResult(ErrorCode.None, spec == OffsetSpec.Earliest ? 0 : 5);
        FetchBy(static request => request.Offset >= (request.Partition == First ? 1 : 0)
            ? new FetchResult(ErrorCode.None, 5, 5, 0, default) : null);

        Assert.True(await ReadAsync(Patient));
        Assert.Equal([0], _read);
    }

    [Fact]
    public async Task Records_that_are_not_returned_make_the_result_incomplete()
    {
        Append(First, Batch());
        Append(Second, Batch());
        // The new leader does not know yet that the record can be read.
        FetchBy(static request => request.Partition == First ? new FetchResult(ErrorCode.None, 0, 0, 0, default) : null);
        _broker.Groups = new RefusingGroups(ErrorCode.GroupIdNotFound);

        Assert.False(await ReadAsync(Hasty));
        Assert.Equal([0], _read);
        var page = await new DeadLetterAdmin(_broker, Hasty).ReadAsync(Topic, null, default).SoonAsync();
        Assert.Equal((2, 1, false), (page.Held, page.Read, page.IsComplete));
    }

    [Fact]
    public async Task Large_batch_is_decompressed_in_its_turn()
    {
        using var builder = new RecordBatchBuilder(CompressionType.Gzip, StandardCodecs.All);
        builder.Add(1000, default, false, new byte[20 << 20], true);
        var large = builder.Build().ToArray();
        Append(First, Batch());
        FetchBy(request => request.Partition == First ? new FetchResult(ErrorCode.None, 1, 1, 0, large) : null);
        using var codec = new HeldCodec();
        var holder = Task.Factory.StartNew(() =>
        {
            using var reader = new RecordReader(large, new CompressionCodecs([codec]), takesTurns: true);
            Assert.Throws<RecordBatchException>(() => reader.MoveNext());
        }, TaskCreationOptions.LongRunning);
        Assert.True(codec.Entered.Wait(Wait.Deadline));

        Assert.Equal(ErrorCode.KafkaStorageError, (await Assert.ThrowsAsync<BrokerException>(() => ReadAsync(Hasty))).Code);
        codec.MayLeave.Set();
        await holder.SoonAsync();
        Assert.True(await ReadAsync(Patient));
        Assert.Equal([0], _read);
    }

    [Fact]
    public async Task Bytes_that_may_be_read_are_those_of_the_newest_records()
    {
        const int Size = 20_000;
        for (var at = 0; at < 200; at++)
            Append(First, Batch(value: new byte[Size]));
        Append(Second, Batch());
        var fetched = 0L;
        _broker.OnFetch = async (request, cancellationToken) =>
        {
            var result = await _broker.LogOf(request.Partition).FetchAsync(request, cancellationToken);
            fetched += result.Records.Length;
            return result;
        };
        _broker.Groups = new RefusingGroups(ErrorCode.GroupIdNotFound);
        var letters = new DeadLetterAdmin(_broker);
        var query = new DeadLetterQuery { MaxLetters = 1000, MaxReadBytes = 100 * Size };

        var page = await letters.ReadAsync(Topic, query, default).SoonAsync();

        Assert.False(page.IsComplete);
        Assert.Equal((201, page.Letters.Count), (page.Held, page.Read));
        Assert.InRange(page.Read, 80, 110);
        Assert.InRange(fetched, 1, 110 * Size);
        Assert.Equal(Enumerable.Range(120, 80).Select(static at => (long)at), page.Letters.Where(static letter => letter.Partition == 0)
            .Select(static letter => letter.Offset).Where(static offset => offset >= 120).Order());
        Assert.Contains(page.Letters, static letter => letter.Partition == 1);
        var all = await letters.ReadAsync(Topic, query with { MaxReadBytes = 1000 * Size }, default).SoonAsync();
        Assert.Equal((true, 201), (all.IsComplete, all.Read));
        Assert.False((await letters.DescribeAsync(Topic, 1000, 10 * Size, default)).IsComplete);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => letters.ListAsync(100, 0, default));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => letters.ListAsync(100, (16L << 30) + 1, default));
    }

    [Fact]
    public async Task Batch_of_many_records_is_decompressed_once()
    {
        const int Records = 1_000, Size = 1_000;
        using var builder = new RecordBatchBuilder(CompressionType.Gzip, StandardCodecs.All);
        for (var at = 0; at < Records; at++)
            builder.Add(1000, "k"u8, true, new byte[Size], true);
        Append(First, Batch());
        Append(First, builder.Build().ToArray());
        _broker.Groups = new RefusingGroups(ErrorCode.GroupIdNotFound);
        var letters = new DeadLetterAdmin(_broker);
        var query = new DeadLetterQuery { MaxLetters = 1000, MaxReadBytes = 2 * Records * Size };

        var page = await letters.ReadAsync(Topic, query, default).SoonAsync();

        Assert.Equal((true, 1 + Records), (page.IsComplete, page.Read));
        Assert.Equal(Records, page.Letters.Select(static letter => letter.Offset).Distinct().Count());
        // Of a batch that is read in part the newest records are.
        page = await letters.ReadAsync(Topic, query with { MaxRead = 100 }, default).SoonAsync();
        Assert.Equal(Enumerable.Range(1 + Records - 100, 100).Select(static at => (long)at),
            page.Letters.Select(static letter => letter.Offset).Order());
    }

    [Fact]
    public async Task Bytes_that_were_decompressed_count()
    {
        using var builder = new RecordBatchBuilder(CompressionType.Gzip, StandardCodecs.All);
        builder.Add(1000, default, false, new byte[1 << 20], true);
        var small = builder.Build().ToArray();
        for (var at = 0; at < 40; at++)
            Append(First, small.ToArray());
        _broker.Groups = new RefusingGroups(ErrorCode.GroupIdNotFound);

        var query = new DeadLetterQuery { MaxReadBytes = 10 << 20 };
        var page = await new DeadLetterAdmin(_broker).ReadAsync(Topic, query, default).SoonAsync();

        Assert.False(page.IsComplete);
        Assert.InRange(page.Read, 1, 39);
    }

    [Fact]
    public async Task Topic_that_may_not_be_read_is_left_out_of_the_list()
    {
        const string Secret = "secret.dead-letter";
        _broker.SetPartitions(Secret, 1);
        _broker.Groups = new RefusingGroups(ErrorCode.GroupAuthorizationFailed);
        Append(First, Batch());
        Append(new TopicPartition(Secret, 0), Batch());
        FetchBy(static request => request.Partition.Topic == Secret ? FetchResult.Failed(ErrorCode.TopicAuthorizationFailed, "no") : null);
        var letters = new DeadLetterAdmin(_broker);

        Assert.Equal([Topic], (await letters.ListAsync(100, Much, default)).Select(static topic => topic.Topic));
        Assert.Equal(ErrorCode.TopicAuthorizationFailed,
            (await Assert.ThrowsAsync<BrokerException>(() => letters.DescribeAsync(Secret, 100, Much, default))).Code);
    }

    [Fact]
    public async Task Group_of_another_kind_leaves_unknown_what_was_sent_back()
    {
        _broker.Groups = new RefusingGroups(ErrorCode.GroupIdNotFound);
        Append(First, Batch(From("orders", "billing", "E", "m")));
        var letters = new DeadLetterAdmin(_broker);

        Assert.Null(Assert.Single((await letters.ReadAsync(Topic, null, default)).Letters).IsRedriven);
        Assert.Null(Assert.Single(Assert.Single(await letters.ListAsync(100, Much, default)).Sources).Redriven);
    }

    [Fact]
    public async Task Texts_are_cut()
    {
        _broker.Groups = new RefusingGroups(ErrorCode.GroupIdNotFound);
        // Characters of one, three and four bytes.
        var group = new string('g', 300_000);
        Append(First, Batch(From("orders", group, new string('€', 300_000), "x" + string.Concat(Enumerable.Repeat("😀", 2_000)))));
        Append(First, Batch(From(new string('t', 250), "g", "E", "m")));
        Append(First, Batch([.. Enumerable.Repeat(new RecordHeader(default, null), 20_000), .. From("orders", "g", "E", "m")]));

        var page = await new DeadLetterAdmin(_broker).ReadAsync(Topic, null, default);

        Assert.Equal([("orders", 255), (null, 1), (null, null)],
            page.Letters.Select(static letter => (letter.SourceTopic, letter.GroupId?.Length)));
        var letter = page.Letters[0];
        Assert.Equal(new string('€', 1024), letter.ExceptionType);
        Assert.Equal("x" + string.Concat(Enumerable.Repeat("😀", 511)), letter.ExceptionMessage);
        Assert.Single((await new DeadLetterAdmin(_broker).ReadAsync(Topic, new DeadLetterQuery { GroupId = group }, default)).Letters);
    }

    [Fact]
    public void Page_keeps_the_newest_dead_letters_that_its_memory_has_room_for()
    {
        var page = new LetterPage(new DeadLetterQuery { MaxLetters = 10_000 });
        for (var at = 0; at < 5_000; at++)
            page.Add(Letter(at, "orders", "billing", new string('m', 1024)));

        var result = page.Finish([new LetterScan.Extent(First, 0, 0, 5_000)], isComplete: true);

        Assert.InRange(result.Letters.Count, 1_500, LetterPage.MaxText / 1024);
        Assert.Equal((5_000L, 4_999L), (result.Selected, result.Letters[^1].Offset));
    }

    [Fact]
    public void Sources_and_causes_are_told_apart_while_there_is_room()
    {
        var tally = new SourceTally(new TextRoom());
        for (var at = 0; at < 20_000; at++)
            tally.Add(Letter(at, "orders", "billing", $"{at % 3} {(at < 10_000 ? at % 3 : at)} {new string('m', 500)}"));
        for (var at = 0; at < 20_000; at++)
            tally.Add(Letter(at, $"{at}".PadLeft(249, 't'), "billing", "m"));
        tally.Add(Letter(0, "orders", "billing", "m"));

        var topic = tally.Summarize(Topic, [new LetterScan.Extent(First, 0, 0, 40_001)], isComplete: true);

        Assert.InRange(topic.Others, 10_000, 20_000);
        Assert.Equal(40_001, topic.Others + topic.Sources.Sum(static source => source.Letters));
        var orders = topic.Sources.Single(static source => source.Topic == "orders");
        Assert.Equal(20_001, orders.Letters);
        Assert.Equal(["0 0 ", "1 1 ", "2 2 "], orders.Causes.Take(3).Select(static cause => cause.Cause[..4]));
        Assert.Equal(200, orders.Causes[0].Cause.Length);
    }

    private static DeadLetter Letter(long offset, string topic, string group, string reason) =>
        new(0, offset, offset, topic, 0, offset, null, group, 1, reason, null, null, 0, null);

    private static RecordHeader[] From(string topic, string group, string type, string message) =>
    [
        RecordHeaders.Text(DeadLetterHeaders.Topic, topic), RecordHeaders.Text(DeadLetterHeaders.Partition, "0"),
        RecordHeaders.Text(DeadLetterHeaders.Offset, "7"), RecordHeaders.Text(DeadLetterHeaders.Group, group),
        RecordHeaders.Text(DeadLetterHeaders.ExceptionType, type), RecordHeaders.Text(DeadLetterHeaders.ExceptionMessage, message),
    ];

    private static Memory<byte> Batch(RecordHeader[]? headers = null, byte[]? value = null)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(1000, "k"u8, true, value ?? "v"u8, true, headers);
        return builder.Build().ToArray();
    }

    private void Append(TopicPartition partition, Memory<byte> batch) =>
        Assert.Equal(ErrorCode.None, _broker.LogOf(partition).Append(batch).Error);

    private void FetchBy(Func<FetchRequest, FetchResult?> script) => _broker.OnFetch = (request, cancellationToken) =>
        script(request) is { } result ? new ValueTask<FetchResult>(result)
            : _broker.LogOf(request.Partition).FetchAsync(request, cancellationToken);

    private async Task<bool> ReadAsync(LetterScan scan)
    {
        _read.Clear();
        var extents = await scan.MeasureAsync([new TopicListing(Topic, Guid.Empty, 2)], 100, default);
        return await scan.ReadAsync(extents, new ByteBudget(Much, 2), (_, record) => _read.Add(record.Offset), default).SoonAsync();
    }

    /// <summary>Refuses every request of a group.</summary>
    private sealed class RefusingGroups(ErrorCode code) : IGroupCoordinator
    {
        public ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken) =>
            new(request.Refused(code, "as told"));

        public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken) =>
            throw new NotSupportedException();
    }

    /// <summary>Holds the turn of large batches until it may leave.</summary>
    private sealed class HeldCodec : ICompressionCodec, IDisposable
    {
        public ManualResetEventSlim Entered { get; } = new();
        public ManualResetEventSlim MayLeave { get; } = new();

        public CompressionType Type => CompressionType.Gzip;

        public long WindowOf(ReadOnlySpan<byte> source) => int.MaxValue;

        public void Compress(ReadOnlySpan<byte> source, System.Buffers.IBufferWriter<byte> destination) =>
            throw new NotSupportedException();

        public void Decompress(ReadOnlySpan<byte> source, System.Buffers.IBufferWriter<byte> destination, int maxLength)
        {
            Entered.Set();
            MayLeave.Wait(Wait.Deadline);
            throw new RecordBatchException(RecordBatchError.BadCompression, "as told");
        }

        public void Dispose()
        {
            Entered.Dispose();
            MayLeave.Dispose();
        }
    }
}
