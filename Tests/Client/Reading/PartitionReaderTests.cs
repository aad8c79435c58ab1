using System.Buffers.Binary;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Compression;
using OrleansMq.Records;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Reading;

public class PartitionReaderTests
{
    private static readonly TopicPartition Partition = new("t", 0);
    private static readonly ReaderOptions Quick = new() { RetryBackoff = TimeSpan.FromMilliseconds(1),
        RetryBackoffMax = TimeSpan.FromMilliseconds(2) };

    private readonly ScriptedBroker _broker = new(("t", 3));

    private PartitionReader<string?, string?> NewReader(ReaderOptions? options = null) => new(_broker, options: options ?? Quick);

    /// <summary>Appends one batch to the log.</summary>
    private void Append(params string?[] values) => Append(0, CompressionType.None, values);

    private void Append(int partition, CompressionType compression, params string?[] values)
    {
        using var builder = new RecordBatchBuilder(compression, StandardCodecs.All);
        foreach (var value in values)
            builder.Add(1000, "k"u8, true, System.Text.Encoding.UTF8.GetBytes(value ?? ""), value is not null);
        Assert.Equal(ErrorCode.None, _broker.LogOf(Partition with { Partition = partition }).Append(builder.Build()).Error);
    }

    private static async Task<IEnumerable<string?>> TakeAsync(PartitionReader<string?, string?> reader, int count)
    {
        var values = new string?[count];
        for (var i = 0; i < count; i++)
            values[i] = (await reader.ReadAsync().SoonAsync()).Value;
        return values;
    }

    [Fact]
    public async Task Reading_starts_at_a_position_inside_a_batch()
    {
        Append("0", "1", "2");
        Append("3");
        await using var reader = NewReader();

        reader.Assign(Partition, ReadFrom.Offset(1));

        Assert.Equal(["1", "2", "3"], await TakeAsync(reader, 3));
        Assert.Equal(4, await reader.GetPositionAsync(Partition));
        Assert.Equal(4, reader.GetHighWatermark(Partition));
    }

    [Theory]
    [InlineData(CompressionType.Gzip)]
    [InlineData(CompressionType.Snappy)]
    public async Task Compressed_batches_are_read(CompressionType compression)
    {
        Append(0, compression, "a", null, "b");
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Earliest);

        Assert.Equal(["a", null, "b"], await TakeAsync(reader, 3));
    }

    [Fact]
    public async Task Transaction_markers_are_skipped()
    {
        Append("0");
        var marker = NewBatch("marker");
        marker[22] |= 0x20;
        BinaryPrimitives.WriteUInt32BigEndian(marker.AsSpan(17), Crc32C.Compute(marker.AsSpan(RecordBatchHeader.CrcStart)));
        _broker.LogOf(Partition).Append(marker);
        Append("2");
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Earliest);

        Assert.Equal(["0", "2"], await TakeAsync(reader, 2));
    }

    [Fact]
    public async Task Waiting_read_wakes_for_a_record_and_ends_at_once_when_cancelled()
    {
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Latest);
        using var cancel = new CancellationTokenSource();

        var cancelled = reader.ReadAsync(cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled.SoonAsync());
        await reader.GetPositionAsync(Partition).SoonAsync();
        var waiting = reader.ReadAsync().AsTask();
        Append("after");

        Assert.Equal("after", (await waiting.SoonAsync()).Value);
    }

    [Fact]
    public async Task Cancelled_enumeration_ends()
    {
        Append("0", "1");
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Earliest);
        using var cancel = new CancellationTokenSource();
        var read = new List<string?>();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var record in reader.WithCancellation(cancel.Token))
            {
                read.Add(record.Value);
                if (read.Count == 2)
                    await cancel.CancelAsync();
            }
        });

        Assert.Equal(["0", "1"], read);
    }

    [Fact]
    public async Task Read_with_timeout_returns_null_when_it_expires()
    {
        var clock = new ManualTimeProvider();
        await using var reader = NewReader(Quick with { TimeProvider = clock });
        reader.Assign(Partition, ReadFrom.Earliest);

        Assert.Null(await reader.ReadAsync(TimeSpan.Zero));
        var waiting = reader.ReadAsync(TimeSpan.FromSeconds(5)).AsTask();
        clock.Advance(TimeSpan.FromSeconds(4.9));
        Assert.False(waiting.IsCompleted);
        clock.Advance(TimeSpan.FromSeconds(0.1));

        Assert.Null(await waiting.SoonAsync());
    }

    [Fact]
    public async Task Seek_discards_prefetched_records()
    {
        Append("0", "1", "2", "3");
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Earliest);
        Assert.Equal(["0", "1"], await TakeAsync(reader, 2));

        reader.Seek(Partition, ReadFrom.Offset(3));

        Assert.Equal(["3"], await TakeAsync(reader, 1));
    }

    [Fact]
    public async Task Assigned_partitions_are_read_and_unassigned_ones_are_not()
    {
        Append(0, CompressionType.None, "a0", "a1");
        Append(1, CompressionType.None, "b0", "b1");
        await using var reader = NewReader();
        reader.Assign([Partition, Partition with { Partition = 1 }], ReadFrom.Earliest);
        Assert.Equal(["a0", "a1", "b0", "b1"], (await TakeAsync(reader, 4)).Order());

        reader.Unassign(Partition);
        Append(0, CompressionType.None, "a2");
        Append(1, CompressionType.None, "b2");

        Assert.Equal(["b2"], await TakeAsync(reader, 1));
        Assert.Equal([Partition with { Partition = 1 }], reader.Assignment);
        Assert.Throws<InvalidOperationException>(() => reader.Seek(Partition, ReadFrom.Earliest));
    }

    [Fact]
    public async Task Reader_without_a_start_position_is_refused()
    {
        await using var reader = NewReader();

        Assert.Throws<ArgumentException>(() => reader.Assign(Partition, default));
    }

    [Fact]
    public async Task Out_of_range_is_thrown_until_a_seek()
    {
        Append("0");
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Offset(7));

        for (var i = 0; i < 2; i++)
        {
            var error = await Assert.ThrowsAsync<OffsetOutOfRangeException>(() => reader.ReadAsync().SoonAsync());
            Assert.Equal((Partition, 7, 0, 1), (error.Partition, error.Offset, error.LogStartOffset, error.HighWatermark));
        }
        reader.Seek(Partition, ReadFrom.Earliest);

        Assert.Equal(["0"], await TakeAsync(reader, 1));
    }

    // The first answers are those of a leader of epoch 4. Its log ends at 1, and it does not know that it was replaced.
    [Fact]
    public async Task Reader_beyond_the_end_of_a_leader_that_was_replaced_reads_on()
    {
        foreach (var value in (string[])["0", "1", "2"])
            Append(value);
        var (fetches, lookups) = (0, 0);
        _broker.OnFetch = (request, token) => request.Offset > 1 && ++fetches <= 2 ? new(OutOfRange(1, epoch: 4))
            : _broker.LogOf(Partition).FetchAsync(request, token);
        _broker.OnFindOffset = (_, spec) =>
        {
            Assert.Equal(OffsetSpec.LatestProven, spec);
            return ++lookups == 1 ? new OffsetResult(ErrorCode.OffsetNotAvailable, -1, Message: "cannot prove it yet")
                : new OffsetResult(ErrorCode.None, 3, LeaderEpoch: 5);
        };
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Offset(2));

        Assert.Equal(["2"], await TakeAsync(reader, 1));
        Assert.Equal(3, lookups);
    }

    // What has grown beyond the position since the refusal are other records than those that were there.
    [Theory]
    [InlineData(4, ErrorCode.None, 7, 4)]
    [InlineData(4, ErrorCode.None, 20, 4)]
    [InlineData(4, ErrorCode.None, 20, 1)] // The topic was created again.
    [InlineData(4, ErrorCode.InvalidRequest, -1, -1)] // A broker of an earlier version knows no such lookup,
    [InlineData(-1, ErrorCode.None, 20, 5)] // and tells no epoch.
    public async Task Offset_beyond_the_end_of_a_leader_that_was_not_replaced_is_out_of_range(int refusedBy, ErrorCode error, long end,
        int provenBy)
    {
        var lookups = 0;
        _broker.OnFetch = (_, _) => new(OutOfRange(6, refusedBy));
        _broker.OnFindOffset = (_, _) => ++lookups == 1 ? new OffsetResult(ErrorCode.OffsetNotAvailable, -1)
            : new OffsetResult(error, end, LeaderEpoch: provenBy, Message: "as told");
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Offset(8));

        var thrown = await Assert.ThrowsAsync<OffsetOutOfRangeException>(() => reader.ReadAsync().SoonAsync());
        Assert.Equal((8, 0, 6), (thrown.Offset, thrown.LogStartOffset, thrown.HighWatermark));
    }

    [Fact]
    public async Task Offset_whose_range_cannot_be_proven_is_not_given_up_when_the_retries_end()
    {
        _broker.OnFetch = (_, _) => new(OutOfRange(6, epoch: 4));
        _broker.OnFindOffset = (_, _) => throw new BrokerException(ErrorCode.OffsetNotAvailable, "cannot prove it");
        await using var reader = NewReader(Quick with { RetryTimeout = TimeSpan.FromMilliseconds(5) });
        reader.Assign(Partition, ReadFrom.Offset(8));

        var thrown = await Assert.ThrowsAsync<ConsumeException>(() => reader.ReadAsync().SoonAsync());
        Assert.Equal(ErrorCode.OffsetNotAvailable, thrown.Code);
    }

    [Fact]
    public async Task Offset_below_the_start_needs_no_proof_of_the_end()
    {
        _broker.OnFetch = (_, _) => new(OutOfRange(6, epoch: 4, start: 5));
        _broker.OnFindOffset = (_, _) => throw new InvalidOperationException("No lookup is needed.");
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Offset(2));

        var error = await Assert.ThrowsAsync<OffsetOutOfRangeException>(() => reader.ReadAsync().SoonAsync());
        Assert.Equal((2, 5, 6), (error.Offset, error.LogStartOffset, error.HighWatermark));
    }

    private static FetchResult OutOfRange(long highWatermark, int epoch, long start = 0) =>
        new(ErrorCode.OffsetOutOfRange, highWatermark, highWatermark, start, default, null, "as told") { LeaderEpoch = epoch };

    [Fact]
    public async Task Retriable_errors_are_retried_without_skipping_records()
    {
        Append("0");
        Append("1");
        var fetches = 0;
        _broker.OnFetch = (request, token) => (++fetches % 3) switch
        {
            1 => new(FetchResult.Failed(ErrorCode.NotLeaderOrFollower, "not here")),
            2 => throw new BrokerException(ErrorCode.RequestTimedOut, "too slow"),
            _ => _broker.LogOf(Partition).FetchAsync(request with { MaxBytes = 1 }, token),
        };
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Earliest);

        Assert.Equal(["0", "1"], await TakeAsync(reader, 2));
    }

    [Fact]
    public async Task Retries_end_at_the_configured_limit()
    {
        _broker.OnFetch = (_, _) => new(FetchResult.Failed(ErrorCode.LeaderNotAvailable, "nobody there"));
        await using var reader = NewReader(Quick with { RetryTimeout = TimeSpan.FromMilliseconds(5) });
        reader.Assign(Partition, ReadFrom.Earliest);

        var error = await Assert.ThrowsAsync<ConsumeException>(() => reader.ReadAsync().SoonAsync());

        Assert.Equal((ErrorCode.LeaderNotAvailable, ErrorAction.Retry, 0), (error.Code, error.Action, error.Offset));
        Assert.Contains("nobody there", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Refusal_reaches_the_application(bool atStart)
    {
        if (atStart)
            _broker.OnFindOffset = (_, _) => new OffsetResult(ErrorCode.UnknownTopicOrPartition, -1, Message: "gone");
        _broker.OnFetch = (_, _) => new(FetchResult.Failed(ErrorCode.UnknownTopicOrPartition, "gone"));
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Earliest);

        var error = await Assert.ThrowsAsync<ConsumeException>(() => reader.ReadAsync().SoonAsync());

        Assert.Equal((ErrorCode.UnknownTopicOrPartition, ErrorAction.Abort), (error.Code, error.Action));
        if (atStart)
            await Assert.ThrowsAsync<ConsumeException>(() => reader.GetPositionAsync(Partition).SoonAsync());
    }

    [Fact]
    public async Task Failing_broker_is_reported_to_the_reader()
    {
        _broker.OnFetch = (_, _) => throw new NotSupportedException("a bug");
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Earliest);

        Assert.Contains("a bug", (await Assert.ThrowsAsync<ConsumeException>(() => reader.ReadAsync().SoonAsync())).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Damaged_batch_is_reported_by_offset_after_the_records_before_it()
    {
        Append("0", "1");
        var damaged = NewBatch("2");
        RecordBatchHeader.StampBaseOffset(damaged, 2);
        damaged[^1] ^= 1;
        _broker.OnFetch = async (request, token) =>
        {
            using var good = await _broker.LogOf(Partition).FetchAsync(request with { Offset = 0 }, token);
            return new FetchResult(ErrorCode.None, 3, 3, 0, (byte[])[.. good.Records.Span, .. damaged]);
        };
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Offset(0));

        Assert.Equal(["0", "1"], await TakeAsync(reader, 2));
        var error = await Assert.ThrowsAsync<ConsumeException>(() => reader.ReadAsync().SoonAsync());
        Assert.Equal((ErrorCode.CorruptMessage, 2), (error.Code, error.Offset));
        Assert.IsType<RecordBatchException>(error.InnerException);
    }

    [Fact]
    public async Task Batch_that_its_producer_broke_is_reported_with_the_offset_after_it()
    {
        Append("0", "1");
        var broken = NewBatch("2");
        broken[22] = (byte)CompressionType.Gzip;
        BinaryPrimitives.WriteUInt32BigEndian(broken.AsSpan(17), Crc32C.Compute(broken.AsSpan(RecordBatchHeader.CrcStart)));
        RecordBatchHeader.StampBaseOffset(broken, 2);
        _broker.OnFetch = async (request, token) =>
        {
            using var good = await _broker.LogOf(Partition).FetchAsync(request with { Offset = 0 }, token);
            return new FetchResult(ErrorCode.None, 3, 3, 0, (byte[])[.. good.Records.Span, .. broken]);
        };
        await using var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Offset(0));

        Assert.Equal(["0", "1"], await TakeAsync(reader, 2));
        var error = await Assert.ThrowsAsync<ConsumeException>(() => reader.ReadAsync().SoonAsync());
        Assert.Equal((ErrorCode.CorruptMessage, 2), (error.Code, error.Offset));
        Assert.Contains("To pass this batch, seek to offset 3.", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Undeserializable_record_is_reported_by_position_and_never_skipped()
    {
        Append("1", "no number", "3");
        await using var reader = new PartitionReader<string?, int>(_broker, values: new Number(), options: Quick);
        reader.Assign(Partition, ReadFrom.Earliest);
        Assert.Equal(1, (await reader.ReadAsync().SoonAsync()).Value);

        for (var i = 0; i < 2; i++)
        {
            var error = await Assert.ThrowsAsync<DeserializationException>(() => reader.ReadAsync().SoonAsync());
            Assert.Equal((Partition, 1, "value"), (error.Partition, error.Offset, error.Part));
        }
        Assert.Equal(1, await reader.GetPositionAsync(Partition));
        reader.Seek(Partition, ReadFrom.Offset(2));

        Assert.Equal(3, (await reader.ReadAsync().SoonAsync()).Value);
    }

    [Fact]
    public async Task Prefetched_records_are_bounded()
    {
        for (var i = 0; i < 50; i++)
            Append(new string('x', 5000));
        var fetched = 0;
        _broker.OnFetch = async (request, token) =>
        {
            var result = await _broker.LogOf(Partition).FetchAsync(request, token);
            Assert.True(request.MaxBytes <= 16 << 10);
            Interlocked.Add(ref fetched, result.Records.Length);
            return result;
        };
        await using var reader = NewReader(Quick with { PrefetchBytes = 32 << 10 });
        reader.Assign(Partition, ReadFrom.Earliest);

        await reader.ReadAsync().SoonAsync();
        await Wait.UntilAsync(() => Volatile.Read(ref fetched) > 16 << 10, "what is fetched ahead");
        Assert.InRange(Volatile.Read(ref fetched), 16 << 10, 32 << 10);
        await TakeAsync(reader, 49);

        Assert.True(fetched > 250_000);
    }

    [Fact]
    public async Task Dispose_stops_fetching_and_refuses_reads()
    {
        var reader = NewReader();
        reader.Assign(Partition, ReadFrom.Earliest);

        await reader.DisposeAsync().SoonAsync();
        await reader.DisposeAsync().SoonAsync();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => reader.ReadAsync().SoonAsync());
        Assert.Throws<ObjectDisposedException>(() => reader.Assign(Partition, ReadFrom.Earliest));
    }

    private static byte[] NewBatch(string value)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(1000, default, false, System.Text.Encoding.UTF8.GetBytes(value), true);
        return builder.Build().ToArray();
    }

    private sealed class Number : IDeserializer<int>
    {
        public int Deserialize(ReadOnlySpan<byte> bytes, bool isNull) => int.Parse(bytes);
    }
}
