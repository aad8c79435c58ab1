using OrleansMq.Log;
using OrleansMq.Records;
using OrleansMq.Replication;
using OrleansMq.Replication.Links;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>The bytes that brokers send each other.</summary>
public sealed class BundleTests
{
    private static readonly ReplicaKey Key = new(new Guid("00112233-4455-6677-8899-aabbccddeeff"), 7);
    private static readonly ReplicaIdentity Follower = new(3, new Guid("a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf"));

    public static TheoryData<string, string> Golden() => new()
    {
        {
            "push",
            "03" + "00000079" + "01" + "00112233445566778899AABBCCDDEEFF" + "00000007" + "00000005" + "00000002"
            + "00000001" + "000000000000000B" + "000000000000000C" + "00000004" + "000000000000000D" + "000000000000000E"
            + "000000000000000F"
            + "0000000000000010" + "0000000000000011" + "00000002" + "00000004" + "0000000000000002" + "00000005"
            + "0000000000000009"
        },
        {
            "push answer",
            "03" + "0000005E" + "02" + "00112233445566778899AABBCCDDEEFF" + "00000007" + "00000005" + "00000002"
            + "00000003" + "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF" + "000000000000000B" + "02" + "00000006" + "000000000000000C"
            + "000000000000000D"
            + "000000000000000E" + "000000000000000F"
        },
        {
            "align request",
            "03" + "00000035" + "03" + "00112233445566778899AABBCCDDEEFF" + "00000007" + "00000005" + "00000002"
            + "00000003" + "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF" + "00000004"
        },
        {
            "align answer",
            "03" + "0000003D" + "04" + "00112233445566778899AABBCCDDEEFF" + "00000007" + "00000005" + "00000002"
            + "00000001" + "00000004" + "00000003" + "000000000000002A" + "FFFFFFFF" + "000000000000002B"
        },
    };

    private static ReplicationMessage Sample(string what) => what switch
    {
        "push" => new Push(Key.TopicId, 5, 2, 1, 11, 12, 4, [], 13, [new(4, 2), new(5, 9)], 14, 15, 16, 17),
        "push answer" => new PushAnswer(Key.TopicId, 5, 2, Follower, 11, PushAnswerOutcome.Gap, 6, 12, 13, 14) { LogStart = 15 },
        "align request" => new AlignRequest(Key.TopicId, 5, 2, Follower, 4),
        _ => new AlignAnswer(Key.TopicId, 5, 2, 1, 4, new LeaderEpochEntry(3, 42), -1) { ErasedEnd = 43 },
    };

    [Theory]
    [MemberData(nameof(Golden))]
    public void Bytes_match_the_diagram(string what, string bytes) => Assert.Equal(bytes, Convert.ToHexString(Write((Key, Sample(what)))));

    [Fact]
    public void Bundle_of_another_version_is_refused_by_its_version()
    {
        var bundle = Write((Key, Sample("align answer")));
        bundle[0]--;
        Assert.Equal("A bundle has version 2; this broker reads 3.", Assert.Throws<BundleFormatException>(() => Read(bundle)).Message);
    }

    [Fact]
    public void Marks_are_read_before_the_bundle_and_leave_it_unchanged()
    {
        var bundle = Write((Key, Sample("push")));
        BundleFormat.Mark(bundle, BundleMarks.CatchUp);
        Assert.Equal(0x83, bundle[0]);
        Assert.Equal(BundleMarks.CatchUp, BundleFormat.MarksOf(bundle));
        Same(Sample("push"), Assert.Single(Read(bundle)).Message);
        Assert.Equal(BundleMarks.None, BundleFormat.MarksOf([]));
    }

    [Fact]
    public void Bundle_round_trips()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        for (var round = 0; round < 300; round++)
        {
            var messages = Enumerable.Range(0, random.Next(6)).Select(_ => (new ReplicaKey(NextGuid(random), random.Next()), Next(random)))
                .ToArray();
            var read = Read(Write(messages));
            Assert.Equal(messages.Length, read.Count);
            for (var i = 0; i < messages.Length; i++)
            {
                Assert.Equal(messages[i].Item1, read[i].Key);
                Same(messages[i].Item2 with { TopicId = messages[i].Item1.TopicId }, read[i].Message);
            }
        }
    }

    /// <summary>Arbitrary bytes are either read as a valid message or clearly refused.</summary>
    [Fact]
    public void Bytes_that_are_not_a_bundle_are_refused()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        var refused = 0;
        for (var round = 0; round < 5000; round++)
        {
            var bundle = Write((Key, Next(random)), (Key, Next(random)));
            switch (random.Next(3))
            {
                case 0:
                    bundle = bundle[..random.Next(1, bundle.Length)];
                    break;
                case 1:
                    bundle[random.Next(bundle.Length)] ^= (byte)(1 << random.Next(8));
                    break;
                default:
                    // Random bytes over a length or a count.
                    var at = random.Next(bundle.Length - 4);
                    random.NextBytes(bundle.AsSpan(at, 4));
                    break;
            }
            try
            {
                Read(bundle);
            }
            catch (BundleFormatException fault)
            {
                Assert.Contains("bundle", fault.Message, StringComparison.OrdinalIgnoreCase);
                refused++;
            }
        }
        Assert.True(refused > 500, Seeds.Replay(seed));
    }

    [Fact]
    public void Batch_damaged_in_transit_is_detected()
    {
        var batch = PartitionRig.Batch(1, "value");
        Assert.Null(ReplicatedBatches.FindDamage([new ReplicatedBatch(0, 1, 0, batch)]));
        batch[^1] ^= 1;
        Assert.Contains("CRC", ReplicatedBatches.FindDamage([new ReplicatedBatch(0, 1, 0, batch)]), StringComparison.Ordinal);
    }

    private static byte[] Write(params (ReplicaKey Key, ReplicationMessage Message)[] messages)
    {
        using var buffer = new PooledBuffer();
        foreach (var (key, message) in messages)
        {
            var before = buffer.Length;
            BundleWriter.Add(buffer, key, message);
            Assert.Equal(BundleWriter.SizeOf(message), buffer.Length - Math.Max(before, 1));
        }
        return buffer.WrittenSpan.ToArray();
    }

    private static List<(ReplicaKey Key, ReplicationMessage Message)> Read(byte[] bundle)
    {
        var messages = new List<(ReplicaKey, ReplicationMessage)>();
        var reader = new BundleReader(bundle);
        while (reader.TryRead(out var key, out var message))
            messages.Add((key, message));
        return messages;
    }

    private static void Same(ReplicationMessage expected, ReplicationMessage actual)
    {
        if (expected is not Push push)
        {
            Assert.Equal(expected, actual);
            return;
        }
        var read = Assert.IsType<Push>(actual);
        Assert.Equal(push with { Batches = read.Batches, Epochs = read.Epochs }, read);
        Assert.Equal(push.Epochs, read.Epochs);
        Assert.Equal(push.Batches.Select(b => (b.BaseOffset, b.NextOffset, b.Epoch, Convert.ToHexString(b.Bytes.Span))),
            read.Batches.Select(b => (b.BaseOffset, b.NextOffset, b.Epoch, Convert.ToHexString(b.Bytes.Span))));
    }

    private static ReplicationMessage Next(Random random)
    {
        var follower = new ReplicaIdentity(random.Next(), NextGuid(random));
        return random.Next(4) switch
        {
            0 => NextPush(random),
            1 => new PushAnswer(Guid.Empty, random.Next(), random.Next(), follower, random.NextInt64(),
                (PushAnswerOutcome)random.Next(1, 5), random.Next(),
                random.NextInt64(), random.NextInt64(), random.NextInt64()) { LogStart = random.NextInt64() },
            2 => new AlignRequest(Guid.Empty, random.Next(), random.Next(), follower, random.Next(-1, 9)),
            _ => new AlignAnswer(Guid.Empty, random.Next(), random.Next(), random.Next(), random.Next(),
                new LeaderEpochEntry(random.Next(), random.NextInt64()),
                random.Next(-1, 9)) { ErasedEnd = random.NextInt64() },
        };
    }

    private static Push NextPush(Random random)
    {
        var batches = new List<ReplicatedBatch>();
        var offset = random.NextInt64(1 << 30);
        for (var i = random.Next(4); i > 0; i--)
        {
            var batch = PartitionRig.Batch(random.NextInt64(1 << 30),
                [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => new string('v', random.Next(50)))]);
            RecordBatchHeader.StampBaseOffset(batch, offset);
            RecordBatchHeader.StampLeaderEpoch(batch, 3);
            var header = RecordBatchHeader.Read(batch);
            batches.Add(new ReplicatedBatch(header.BaseOffset, header.NextOffset, header.PartitionLeaderEpoch, batch));
            offset = header.NextOffset + random.Next(3);
        }
        return new Push(Guid.Empty, random.Next(), random.Next(), random.Next(), random.NextInt64(), random.NextInt64(), random.Next(-1, 9),
            batches,
            random.NextInt64(), [.. Enumerable.Range(0, random.Next(3)).Select(i => new LeaderEpochEntry(i, random.NextInt64()))],
            random.NextInt64(),
            random.NextInt64(), random.NextInt64(), random.NextInt64());
    }

    private static Guid NextGuid(Random random)
    {
        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes);
        return new Guid(bytes);
    }
}
