using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Queues;

public sealed class CursorControlRecordTests
{
    private static readonly Guid Incarnation = new("00112233-4455-6677-8899-aabbccddeeff");

    [Fact]
    public void Key_and_value_are_what_clients_skip()
    {
        using var builder = new RecordBatchBuilder();
        CursorControlRecord.AddTo(builder, 1_000, [new CursorDelta(3, Incarnation)
        {
            Settlements = [new Settlement(SettlementCause.Accepted, 5, [new OffsetRange(10, 14)])],
        }]);
        var batch = builder.Build();
        var header = RecordBatchHeader.Read(batch.Span);
        Assert.True(header.IsControl && !header.IsTransactional && !header.HasProducer);
        Assert.Equal((1, CompressionType.None), (header.RecordCount, header.Compression));
        using var reader = new RecordReader(batch, CompressionCodecs.Empty);
        Assert.True(reader.MoveNext());
        Assert.Equal("00000064", Convert.ToHexString(reader.Current.Key!.Value.Span));
        // version, transitions, kind, cursor, incarnation, sections, settlements, cause, records, ranges, first, length - 1
        Assert.Equal("0000" + "00000001" + "01" + "06" + "00112233445566778899AABBCCDDEEFF" + "01" + "02" + "01" + "0A" + "02" + "14"
            + "08",
            Convert.ToHexString(reader.Current.Value!.Value.Span));
        Assert.True(CursorControlRecord.IsKey(reader.Current.Key!.Value.Span));
    }

    [Theory]
    [InlineData("00000000")] // an aborted transaction
    [InlineData("00000001")] // a committed one
    [InlineData("00010064")]
    [InlineData("000000")]
    [InlineData("0000006400")]
    public void Key_of_another_control_record_is_not_ours(string key) =>
        Assert.False(CursorControlRecord.IsKey(Convert.FromHexString(key)));

    [Fact]
    public void Transitions_survive_their_encoding()
    {
        var random = new Random(Seeds.Next());
        for (var i = 0; i < 200; i++)
        {
            var value = CursorControlRecord.Encode([RandomDelta(random), new CursorRemoval(7, Incarnation), RandomDelta(random),
                new CursorStatement(9, Incarnation, CursorStateFormat.Encode(RandomState(random)))]);
            var decoded = CursorControlRecord.Decode(value);
            Assert.Equal(value, CursorControlRecord.Encode(decoded));
            Assert.Equal(4, decoded.Count);
        }
    }

    [Fact]
    public void State_survives_its_encoding_and_has_one_encoding()
    {
        var random = new Random(Seeds.Next());
        for (var i = 0; i < 100; i++)
        {
            var bytes = CursorStateFormat.Encode(RandomState(random));
            Assert.Equal(bytes, CursorStateFormat.Encode(CursorStateFormat.Decode(1, Incarnation, bytes)));
        }
    }

    [Theory]
    [InlineData(null, null, 0)]
    [InlineData(7L, null, 0)]
    [InlineData(0L, null, 1)]
    [InlineData(7L, 0L, 1)]
    [InlineData(0L, 9L, 1)]
    public void Limits_that_earlier_brokers_do_not_know_have_a_version_that_they_refuse(long? length, long? bytes, int version)
    {
        var configuration = new CursorConfiguration { Name = "q", MaxLength = length, MaxBytes = bytes };
        var encoded = CursorStateFormat.Encode(new CursorState(1, Incarnation, configuration, 0));
        Assert.Equal(version, encoded[0]);
        Assert.Equal(configuration, CursorStateFormat.Decode(1, Incarnation, encoded).Configuration);
        encoded[0] = 2;
        Assert.Throws<UnknownTransitionException>(() => CursorStateFormat.Decode(1, Incarnation, encoded));
    }

    [Fact]
    public void Limit_of_a_later_version_is_unknown_and_not_ignored()
    {
        var configuration = new CursorConfiguration { Name = "q", MaxLength = 0 };
        var encoded = CursorStateFormat.Encode(new CursorState(1, Incarnation, configuration, 0));
        // No settled ranges, returns and intents follow.
        encoded[^4] = 4;
        Assert.Throws<UnknownTransitionException>(() => CursorStateFormat.Decode(1, Incarnation, encoded));
    }

    [Fact]
    public void Later_version_is_unknown_and_not_ignored()
    {
        var value = CursorControlRecord.Encode([new CursorRemoval(1, Incarnation)]);
        value[1] = 1;
        Assert.Throws<UnknownTransitionException>(() => CursorControlRecord.Decode(value));
        value[1] = 0;
        value[6] = 99;
        Assert.Throws<UnknownTransitionException>(() => CursorControlRecord.Decode(value));
        var delta = CursorControlRecord.Encode([new CursorDelta(1, Incarnation)]);
        delta[^1] = 32;
        Assert.Throws<UnknownTransitionException>(() => CursorControlRecord.Decode(delta));
    }

    [Fact]
    public void Damaged_value_is_refused_at_any_length()
    {
        var value = CursorControlRecord.Encode([RandomDelta(new Random(1))]);
        for (var length = 2; length < value.Length; length++)
            Assert.Throws<InvalidDataException>(() => CursorControlRecord.Decode(value.AsSpan(0, length)));
        Assert.Throws<InvalidDataException>(() => CursorControlRecord.Decode([.. value, 0]));
    }

    [Fact]
    public void Round_in_order_costs_under_twenty_bytes_a_record_and_out_of_order_under_sixty()
    {
        var ordered = CursorControlRecord.Encode([new CursorDelta(1, Incarnation)
        {
            Settlements = [new Settlement(SettlementCause.Accepted, 10, [new OffsetRange(1_000_000_000, 1_000_000_009)])],
        }]);
        Assert.InRange(RecordBatchHeader.Size + 20 + ordered.Length, 0, 10 * 20);
        var ranges = Enumerable.Range(0, 10).Select(i => OffsetRange.Of(1_000_000_000L + (i * 1_000))).ToList();
        var random = CursorControlRecord.Encode([new CursorDelta(1, Incarnation)
        {
            Settlements = [new Settlement(SettlementCause.Accepted, 10, ranges)],
        }]);
        Assert.InRange(RecordBatchHeader.Size + 20 + random.Length, 0, 10 * 60);
    }

    internal static CursorDelta RandomDelta(Random random)
    {
        var offset = random.NextInt64(1L << 40);
        var ranges = new List<OffsetRange>();
        for (var i = random.Next(4); i >= 0; i--)
        {
            ranges.Add(new OffsetRange(offset, offset + random.Next(5)));
            offset = ranges[^1].Last + random.Next(2, 1_000);
        }
        return new CursorDelta(random.Next(100), Incarnation)
        {
            Settlements = random.Next(2) == 0 ? [] : [new Settlement((SettlementCause)random.Next(1, 7), 3, ranges)],
            Returns = [.. Enumerable.Range(0, random.Next(3)).Select(i => new ReturnedRecord(offset + i,
                new DeliveryCounts(random.Next(9), random.Next(9)), random.NextInt64(1, 1L << 41))
            {
                DelayMs = random.Next(2) * random.NextInt64(1L << 35),
            })],
            Intents = [.. Enumerable.Range(0, random.Next(3)).Select(i => new DeadLetterIntent(i, Incarnation, offset + 10 + i,
                new DeadLetterTarget(Incarnation, i), SettlementCause.Rejected, new DeliveryCounts(i, 0), 4_711))],
            Finished = [.. Enumerable.Range(0, random.Next(3)).Select(i => new FinishedIntent(i, i == 0))],
            DeliveredUpTo = random.Next(2) * 4_096,
        };
    }

    internal static CursorState RandomState(Random random)
    {
        var state = new CursorState(1, Incarnation, new CursorConfiguration
        {
            Name = "orders-β",
            MaxDeliveries = random.Next(9),
            Backoff = new BackoffSchedule(100, 2, 10_000, 20),
            DeadLetterTarget = random.Next(2) == 0 ? null : new DeadLetterTarget(Incarnation, 4),
            IsOrderedByKey = random.Next(2) == 0,
            HasTimeToLive = random.Next(2) == 0,
            HasSchedules = random.Next(2) == 0,
            PriorityLevels = random.Next(33),
            MaxLength = random.Next(3) switch { 0 => null, 1 => 0, _ => 100 },
            MaxBytes = random.Next(3) switch { 0 => null, 1 => 0, _ => 1L << 40 },
            TimeToLiveMs = random.Next(2) * 1_000,
            Filter = random.Next(2) == 0 ? null : "region = 'β'",
        }, random.NextInt64(1L << 30));
        for (var i = 0; i < 5; i++)
            state.Apply(RandomDelta(random));
        return state;
    }
}
