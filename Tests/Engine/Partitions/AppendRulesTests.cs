using System.Buffers.Binary;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Diagnostics;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>Which batches are accepted, which are refused, and what the broker changes in accepted ones.</summary>
public sealed class AppendRulesTests
{
    [Fact]
    public async Task Oversized_batch_is_refused_with_the_name_of_the_limit()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { MaxMessageBytes = 200 });
        Assert.Equal(ErrorCode.None, (await rig.AppendAsync("small")).Error);
        var refused = await rig.AppendAsync(new string('x', 200));
        Assert.Equal(ErrorCode.MessageTooLarge, refused.Error);
        Assert.Contains("max.message.bytes is 200", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("max.message.bytes", ErrorCode.MessageTooLarge)]
    [InlineData("message.timestamp.before.max.ms", ErrorCode.InvalidTimestamp)]
    [InlineData("cleanup.policy", ErrorCode.InvalidRecord)]
    [InlineData("dedupe.max.ids", ErrorCode.MessageTooLarge)]
    [InlineData("compression.type", ErrorCode.UnsupportedCompressionType)]
    public async Task Batch_that_is_in_the_log_is_answered_again_when_its_topic_takes_no_more_such_batches(string changed,
        ErrorCode expected)
    {
        await using var rig = await PartitionRig.StartAsync(options: static options => options with { Codecs = CompressionCodecs.Empty });
        var (sent, next) = (Keyless(rig.Clock.Now, 0), Keyless(rig.Clock.Now, 3));
        Assert.Equal(0, (await rig.Partition.AppendAsync(sent.ToArray(), Acks.All)).BaseOffset);
        rig.Clock.Advance(TimeSpan.FromMinutes(1));
        rig.Partition.UpdateConfig(changed switch
        {
            "max.message.bytes" => rig.Partition.Config with { MaxMessageBytes = 70 },
            "cleanup.policy" => rig.Partition.Config with { CleanupCompact = true },
            "dedupe.max.ids" => rig.Partition.Config with { DedupeWindowMs = 60_000, DedupeMaxIds = 2 },
            "compression.type" => rig.Partition.Config with { CompressionType = CompressionType.Zstd },
            _ => rig.Partition.Config with { TimestampBeforeMaxMs = 1 },
        });
        foreach (var restarts in (bool[])[false, true])
        {
            if (restarts)
            {
                rig.Config = rig.Partition.Config;
                await rig.RestartAsync();
            }
            var again = await rig.Partition.AppendAsync(sent.ToArray(), Acks.All);
            Assert.Equal((ErrorCode.None, 0L), (again.Error, again.BaseOffset));
            var refused = await rig.Partition.AppendAsync(next.ToArray(), Acks.All);
            Assert.True(refused.Error == expected, $"{refused.Error}: {refused.Message}");
            // A gap in the sequence changes nothing about it.
            Assert.Equal(expected, (await rig.Partition.AppendAsync(Keyless(rig.Clock.Now - 60_000, 7), Acks.All)).Error);
            Assert.Equal(3, rig.Partition.LogEndOffset);
        }
    }

    // Three records, with ids.
    private static byte[] Keyless(long timestamp, int sequence)
    {
        using var builder = new RecordBatchBuilder();
        for (var i = 0; i < 3; i++)
        {
            var id = new RecordHeader(Encoding.UTF8.GetBytes(MessageHeaders.MessageId), Encoding.UTF8.GetBytes($"{sequence + i}"));
            builder.Add(timestamp, default, false, Encoding.UTF8.GetBytes($"value {sequence}"), true, [id]);
        }
        builder.SetProducer(5, 0, sequence);
        return builder.Build().ToArray();
    }

    [Fact]
    public async Task Input_other_than_one_whole_batch_is_refused_and_not_written()
    {
        await using var rig = await PartitionRig.StartAsync();
        var batch = PartitionRig.Batch(rig.Clock.Now, "a");
        var changed = batch.ToArray();
        changed[^1] ^= 1;
        foreach (var bytes in (byte[][])[[], batch[..60], batch[..^1], [.. batch, .. batch], [.. batch, 0], changed])
        {
            var refused = await rig.Partition.AppendAsync(bytes, Acks.All);
            Assert.True(refused.Error is ErrorCode.CorruptMessage or ErrorCode.InvalidRecord, $"{refused.Error}");
            Assert.NotNull(refused.Message);
        }
        Assert.Equal((0L, 0L), (rig.Partition.LogEndOffset, rig.Partition.SizeInBytes));
    }

    [Fact]
    public async Task Stored_bytes_equal_the_sent_ones_except_base_offset_and_leader_epoch()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("first");
        rig.Partition.BeginLeaderEpoch(7);
        var sent = PartitionRig.Batch(rig.Clock.Now, "a", "b");
        var kept = sent.ToArray();
        Assert.Equal(1, (await rig.Partition.AppendAsync(sent, Acks.All)).BaseOffset);
        using var read = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, 1));
        var stored = read.Records.ToArray();
        var header = RecordBatchHeader.Read(stored);
        Assert.Equal((1L, 7), (header.BaseOffset, header.PartitionLeaderEpoch));
        Assert.Equal(kept[8..12], stored[8..12]);
        Assert.Equal(kept[16..], stored[16..]);
        await rig.RestartAsync();
        Assert.Equal(7, rig.Partition.LeaderEpoch);
    }

    [Theory]
    [InlineData(CompressionType.None)]
    [InlineData(CompressionType.Gzip)]
    [InlineData(CompressionType.Snappy)]
    [InlineData(CompressionType.Lz4)]
    [InlineData(CompressionType.Zstd)]
    public async Task Batch_that_no_reader_could_read_is_refused(CompressionType codec)
    {
        await using var rig = await PartitionRig.StartAsync(options: options => options with { VerifyCompressed = true });
        foreach (var (name, batch) in Unreadable(codec, rig.Clock.Now))
        {
            var refused = await rig.Partition.AppendAsync(batch, Acks.All);
            Assert.True(refused.Error is ErrorCode.CorruptMessage or ErrorCode.InvalidRecord, $"{name}: {refused.Error}");
        }
        Assert.Equal((0L, 0L), (rig.Partition.LogEndOffset, rig.Partition.SizeInBytes));
    }

    [Fact]
    public async Task Compressed_batches_are_accepted_unread_where_they_are_not_to_be_verified_or_the_codec_is_missing()
    {
        Func<BrokerOptions, BrokerOptions>[] changes =
            [options => options, options => options with { VerifyCompressed = true, Codecs = CompressionCodecs.Empty }];
        foreach (var change in changes)
        {
            await using var rig = await PartitionRig.StartAsync(options: change);
            foreach (var (_, batch) in Unreadable(CompressionType.Gzip, rig.Clock.Now))
                Assert.Equal(ErrorCode.None, (await rig.Partition.AppendAsync(batch, Acks.All)).Error);
            foreach (var (name, batch) in Unreadable(CompressionType.None, rig.Clock.Now))
                Assert.True((await rig.Partition.AppendAsync(batch, Acks.All)).Error != ErrorCode.None, name);
        }
    }

    [Theory]
    [InlineData(CompressionType.Gzip)]
    [InlineData(CompressionType.Snappy)]
    [InlineData(CompressionType.Lz4)]
    [InlineData(CompressionType.Zstd)]
    public async Task Compressed_batch_that_claims_more_records_than_bytes_is_refused_unless_it_has_them(CompressionType codec)
    {
        await using var rig = await PartitionRig.StartAsync();
        foreach (var count in new[] { 1_000, 30_000_000 })
        {
            var claimed = await rig.Partition.AppendAsync(Claim(Packed(codec, rig.Clock.Now, 3), count), Acks.All);
            Assert.Equal((ErrorCode.InvalidRecord, $"Record count is {count}; there are 3."), (claimed.Error, claimed.Message));
            Assert.Equal(ErrorCode.CorruptMessage,
                (await rig.Partition.AppendAsync(Claim(Packed(codec, rig.Clock.Now, 3), count, 0xFF), Acks.All)).Error);
        }
        Assert.Equal((0L, 0L), (rig.Partition.LogEndOffset, rig.Partition.SizeInBytes));
        // Ten thousands of records that differ in their offset delta alone. Zstd packs those into fewer bytes than there are records.
        var many = Packed(codec, rig.Clock.Now, 50_000);
        Assert.Equal(codec == CompressionType.Zstd, RecordBatches.IsDense(RecordBatchHeader.Read(many)));
        Assert.Equal(ErrorCode.None, (await rig.Partition.AppendAsync(many, Acks.All)).Error);
        Assert.Equal(50_000, rig.Partition.LogEndOffset);
    }

    [Fact]
    public async Task Batch_with_more_records_than_bytes_is_refused_where_its_codec_is_missing()
    {
        await using var rig = await PartitionRig.StartAsync(options: options => options with { Codecs = CompressionCodecs.Empty });
        var many = Packed(CompressionType.Zstd, rig.Clock.Now, 50_000);
        Assert.Equal(ErrorCode.UnsupportedCompressionType, (await rig.Partition.AppendAsync(many, Acks.All)).Error);
        Assert.Contains($"{PartitionRig.Name} refused", Assert.Single(rig.Lines.Of(EngineLogLevel.Error)), StringComparison.Ordinal);
    }

    private static byte[] Packed(CompressionType codec, long now, int records)
    {
        using var builder = new RecordBatchBuilder(codec, StandardCodecs.All);
        for (var i = 0; i < records; i++)
            builder.Add(now, default, false, "0123456789"u8, true);
        return builder.Build().ToArray();
    }

    private static byte[] Claim(byte[] batch, int records, byte? payload = null)
    {
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(23), records - 1);
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(57), records);
        if (payload is { } value)
            batch.AsSpan(RecordBatchHeader.Size).Fill(value);
        RecordBatches.Seal(batch);
        return batch;
    }

    // Each has a correct header and CRC.
    [Fact]
    public async Task Codec_without_its_library_is_named_at_the_start_and_in_one_line_for_many_refused_batches()
    {
        var topic = new TopicConfig { CompressionType = CompressionType.Zstd };
        await using var rig = await PartitionRig.StartAsync(topic, options: options => options with
        {
            Codecs = new CompressionCodecs([new CodecWithoutLibrary()]),
        });
        Assert.Contains(CodecWithoutLibrary.Reason, Assert.Single(rig.Lines.Of(EngineLogLevel.Warning)), StringComparison.Ordinal);
        for (var i = 0; i < 3; i++)
        {
            var refused = await rig.AppendAsync("a");
            Assert.Equal((ErrorCode.UnsupportedCompressionType, CodecWithoutLibrary.Reason), (refused.Error, refused.Message));
        }
        Assert.Contains($"{PartitionRig.Name} refused", Assert.Single(rig.Lines.Of(EngineLogLevel.Error)), StringComparison.Ordinal);
    }

    private static IEnumerable<(string Name, byte[] Batch)> Unreadable(CompressionType codec, long now)
    {
        var noise = new byte[40];
        Array.Fill(noise, (byte)0xFF);
        yield return ("noise", Seal(noise, 1));
        if (codec != CompressionType.None)
            yield return ("not compressed", Seal(PartitionRig.Batch(now, "a")[RecordBatchHeader.Size..], 1));
        var two = PartitionRig.Batch(now, "a", "a")[RecordBatchHeader.Size..];
        byte[] twice = [.. two[..(two.Length / 2)], .. two[..(two.Length / 2)]];
        yield return ("duplicate deltas", Seal(Compress(twice), 2));
        yield return ("a record too many", Seal(Compress(two), 1));
        yield return ("a record too few", Seal(Compress(two), 3));

        byte[] Compress(byte[] plain)
        {
            if (codec == CompressionType.None)
                return plain;
            using var compressed = new PooledBuffer();
            StandardCodecs.All.Get(codec).Compress(plain, compressed);
            return compressed.WrittenSpan.ToArray();
        }

        byte[] Seal(byte[] payload, int count)
        {
            byte[] batch = [.. PartitionRig.Batch(now, "a")[..RecordBatchHeader.Size], .. payload];
            batch[22] = (byte)codec;
            BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(23), count - 1);
            BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(57), count);
            RecordBatches.Seal(batch);
            return batch;
        }
    }

    [Theory]
    [InlineData(1_001, 0, ErrorCode.InvalidTimestamp)]
    [InlineData(1_000, 0, ErrorCode.None)]
    [InlineData(0, 2_001, ErrorCode.InvalidTimestamp)]
    [InlineData(0, 2_000, ErrorCode.None)]
    public async Task Timestamps_outside_the_topics_window_are_refused(long ahead, long behind, ErrorCode expected)
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { TimestampAfterMaxMs = 1000, TimestampBeforeMaxMs = 2000 });
        var result = await rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now + ahead - behind, "a"), Acks.All);
        Assert.Equal(expected, result.Error);
    }

    [Fact]
    public async Task Compacted_topic_refuses_records_without_a_key()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { CleanupCompact = true });
        Assert.Equal(ErrorCode.None, (await rig.AppendAsync("with")).Error);
        foreach (var codec in (CompressionType[])[CompressionType.None, CompressionType.Gzip])
        {
            using var builder = new RecordBatchBuilder(codec, StandardCodecs.All);
            builder.Add(rig.Clock.Now, "k"u8, true, "v"u8, true);
            builder.Add(rig.Clock.Now, default, false, "v"u8, true);
            var refused = await rig.Partition.AppendAsync(builder.Build().ToArray(), Acks.All);
            Assert.Equal(ErrorCode.InvalidRecord, refused.Error);
            Assert.Contains("Record 1", refused.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Markers_from_clients_and_transactional_batches_without_a_producer_are_refused()
    {
        await using var rig = await PartitionRig.StartAsync();
        var control = PartitionRig.Batch(rig.Clock.Now, builder => builder.SetControl(), "a");
        Assert.Equal(ErrorCode.InvalidRecord, (await rig.Partition.AppendAsync(control, Acks.All)).Error);
        var transactional = PartitionRig.Batch(rig.Clock.Now, builder => builder.SetProducer(-1, -1, -1, transactional: true), "a");
        Assert.Equal(ErrorCode.InvalidRecord, (await rig.Partition.AppendAsync(transactional, Acks.All)).Error);
    }

    [Fact]
    public async Task Log_append_time_sets_the_brokers_time_and_leaves_the_senders_bytes_unchanged()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { TimestampType = TimestampType.LogAppendTime });
        var sent = PartitionRig.Batch(5, "a", "b");
        var kept = sent.ToArray();
        rig.Clock.Advance(TimeSpan.FromSeconds(3));
        var result = await rig.Partition.AppendAsync(sent, Acks.All);
        Assert.Equal((ErrorCode.None, rig.Clock.Now), (result.Error, result.LogAppendTime));
        Assert.Equal(kept, sent);
        using var read = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, 0));
        using var reader = new RecordReader(read.Records, StandardCodecs.All);
        while (reader.MoveNext())
            Assert.Equal(rig.Clock.Now, reader.Current.Timestamp);
        Assert.Equal(0, rig.Partition.FindOffset(OffsetSpec.AtOrAfter(rig.Clock.Now)).Offset);
    }

    [Theory]
    [InlineData(CompressionType.None, CompressionType.Gzip)]
    [InlineData(CompressionType.Gzip, CompressionType.None)]
    [InlineData(CompressionType.Snappy, CompressionType.Gzip)]
    [InlineData(CompressionType.Gzip, CompressionType.Gzip)]
    public async Task Topic_codec_is_applied_to_stored_batches(CompressionType sent, CompressionType stored)
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { CompressionType = stored });
        using var builder = new RecordBatchBuilder(sent, StandardCodecs.All);
        for (var i = 0; i < 10; i++)
            builder.Add(rig.Clock.Now + i, Encoding.UTF8.GetBytes($"k{i}"), true, Encoding.UTF8.GetBytes($"v{i}"), true);
        Assert.Equal(ErrorCode.None, (await rig.Partition.AppendAsync(builder.Build().ToArray(), Acks.All)).Error);
        using var read = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, 0));
        Assert.Equal(stored, RecordBatchHeader.Read(read.Records.Span).Compression);
        Assert.Equal(Enumerable.Range(0, 10).Select(i => ((long)i, $"v{i}")), await rig.ReadAllAsync());
    }

    [Fact]
    public async Task Batches_of_one_producer_are_deduplicated_within_one_round()
    {
        await using var rig = await PartitionRig.StartAsync();
        ValueTask<ProduceResult>[] sent = [Send(0), Send(1), Send(1), Send(2), Send(4), Send(3), Send(3)];
        var results = new List<(ErrorCode, long)>();
        foreach (var one in sent)
        {
            var result = await one;
            results.Add((result.Error, result.BaseOffset));
        }
        Assert.Equal(
            [(ErrorCode.None, 0), (ErrorCode.None, 1), (ErrorCode.None, 1), (ErrorCode.None, 2), (ErrorCode.OutOfOrderSequenceNumber, -1),
                (ErrorCode.None, 3), (ErrorCode.None, 3)],
            results);
        Assert.Equal(4, rig.Partition.LogEndOffset);

        ValueTask<ProduceResult> Send(int sequence) =>
            rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, b => b.SetProducer(9, 0, sequence), "v"), Acks.All);
    }

    [Fact]
    public async Task Cancelled_append_is_not_queued_and_a_closed_partition_refuses()
    {
        await using var rig = await PartitionRig.StartAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "a"), Acks.All, new CancellationToken(true)).AsTask());
        Assert.Equal(ErrorCode.InvalidRequiredAcks,
            (await rig.Partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "a"), (Acks)3)).Error);
        var partition = rig.Partition;
        await rig.Store.DisposeAsync();
        var refused = await partition.AppendAsync(PartitionRig.Batch(rig.Clock.Now, "a"), Acks.All);
        Assert.Equal((ErrorCode.NotLeaderOrFollower, 0L), (refused.Error, partition.LogEndOffset));
    }
}
