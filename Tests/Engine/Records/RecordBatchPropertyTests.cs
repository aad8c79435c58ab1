using FsCheck.Fluent;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

public class RecordBatchPropertyTests
{
    [Fact]
    public void Records_round_trip_through_every_codec() =>
        Properties.ForAll(SampleRecord.Many.SelectMany(records => SampleRecord.Codec.Select(codec => (records, codec))), sample =>
        {
            var batch = SampleRecord.Build(sample.records, sample.codec, baseOffset: 1_000_000_000_000);
            Assert.Null(RecordBatches.ValidateProduced(batch, out var header));
            Assert.Null(RecordBatches.ValidateRecords(batch, StandardCodecs.All));
            Assert.Equal(sample.codec, header.Compression);
            Assert.Equal(batch.Length, header.SizeInBytes);
            Assert.Equal(sample.records.Length, header.RecordCount);
            Assert.Equal(sample.records.Max(r => r.Timestamp), header.MaxTimestamp);
            AssertRecords(sample.records, SampleRecord.Read(batch), 1_000_000_000_000);
        });

    [Fact]
    public void Concatenated_batches_are_read_as_one_sequence() =>
        Properties.ForAll(SampleRecord.Many.Two().SelectMany(pair => SampleRecord.Codec.Two().Select(codecs => (pair, codecs))), sample =>
        {
            var first = SampleRecord.Build(sample.pair.Item1, sample.codecs.Item1, 10);
            var second = SampleRecord.Build(sample.pair.Item2, sample.codecs.Item2, 10 + sample.pair.Item1.Length);
            AssertRecords([.. sample.pair.Item1, .. sample.pair.Item2], SampleRecord.Read(first.Concat(second).ToArray()), 10);
        });

    [Fact]
    public void Reader_passes_records_below_an_offset_but_the_last_of_a_batch() =>
        Properties.ForAll(
            from pair in SampleRecord.Many.Two()
            from codec in SampleRecord.Codec
            from skips in Gen.Choose(0, 7).ArrayOf(50)
            select (pair, codec, skips), sample =>
        {
            var (first, second) = sample.pair;
            byte[] batches = [.. SampleRecord.Build(first, sample.codec, 10),
                .. SampleRecord.Build(second, sample.codec, 10 + first.Length)];
            var all = SampleRecord.Read(batches);
            using var reader = new RecordReader(batches, StandardCodecs.All);
            var next = 0;
            foreach (var skip in sample.skips)
            {
                var from = 10 + next + skip;
                // Each call passes those of one batch.
                var last = next < first.Length ? first.Length - 1 : all.Count - 1;
                var expected = Math.Min(next + skip, last);
                Assert.Equal(next < all.Count, reader.MoveTo(from));
                if (next == all.Count)
                    return;
                AssertRecords([all[expected].Record], [(reader.Current.Offset, SampleRecord.Of(reader.Current))], 10 + expected);
                next = expected + 1;
            }
        });

    [Fact]
    public void Recompression_changes_only_the_codec() =>
        Properties.ForAll(SampleRecord.Many.SelectMany(records => SampleRecord.Codec.Two().Select(codecs => (records, codecs))), sample =>
        {
            var batch = SampleRecord.Build(sample.records, sample.codecs.Item1, 77);
            RecordBatchHeader.StampLeaderEpoch(batch, 5);
            using var destination = new PooledBuffer();
            RecordBatchRewriter.Recompress(batch, sample.codecs.Item2, StandardCodecs.All, destination);

            Assert.Null(RecordBatches.Validate(destination.WrittenSpan, out var after));
            var before = RecordBatchHeader.Read(batch);
            Assert.Equal(sample.codecs.Item2, after.Compression);
            Assert.Equal(before with { Length = after.Length, Crc = after.Crc, Attributes = after.Attributes }, after);
            AssertRecords(sample.records, SampleRecord.Read(destination.WrittenMemory), 77);
        });

    [Fact]
    public void Compaction_keeps_offsets_timestamps_and_producer_fields() =>
        Properties.ForAll(
            from records in SampleRecord.Many
            from keep in Gen.Elements(true, false).ArrayOf(records.Length)
            from codec in SampleRecord.Codec
            from horizon in Gen.Elements<long?>(null, 1_800_000_000_000, 0)
            select (records, keep, codec, horizon), sample =>
        {
            var batch = SampleRecord.Build(sample.records, sample.codec, 500);
            using var destination = new PooledBuffer();
            var next = 0;
            var kept = RecordBatchRewriter.Retain(batch, (in OrleansMq.Records.Record record) =>
            {
                Assert.Equal(500 + next, record.Offset);
                return sample.keep[next++];
            }, StandardCodecs.All, destination, sample.horizon);

            Assert.Equal(sample.records.Length, next);
            Assert.Equal(sample.keep.Count(k => k), kept);
            Assert.Null(RecordBatches.Validate(destination.WrittenSpan, out var after));
            Assert.Null(RecordBatches.ValidateRecords(destination.WrittenSpan, StandardCodecs.All, allowGaps: true));
            var before = RecordBatchHeader.Read(batch);
            Assert.Equal((before.BaseOffset, before.LastOffset), (after.BaseOffset, after.LastOffset));
            Assert.Equal((before.ProducerId, before.ProducerEpoch), (after.ProducerId, after.ProducerEpoch));
            Assert.Equal((before.BaseSequence, before.LastSequence), (after.BaseSequence, after.LastSequence));
            Assert.Equal(sample.horizon is not null, after.HasDeleteHorizon);
            Assert.Equal(sample.horizon ?? before.BaseTimestamp, after.BaseTimestamp);
            var all = sample.records.Select((record, i) => (Offset: 500L + i, Record: record));
            var expected = all.Where((_, i) => sample.keep[i]).ToList();
            Assert.Equal(expected.Count == 0 ? before.MaxTimestamp : expected.Max(r => r.Record.Timestamp), after.MaxTimestamp);
            var actual = SampleRecord.Read(destination.WrittenMemory);
            Assert.Equal(expected.Select(r => r.Offset), actual.Select(r => r.Offset));
            foreach (var (left, right) in expected.Zip(actual))
                SampleRecord.AssertSame(left.Record, right.Record);
        });

    [Fact]
    public void Varints_round_trip_in_the_computed_size() =>
        Properties.ForAll(
            Gen.OneOf(
                ArbMapGenerators.AnyLong,
                Gen.Choose(0, 63).SelectMany(bit => Gen.Choose(-2, 2).Select(delta => unchecked((1L << bit) + delta)))), value =>
        {
            Span<byte> bytes = stackalloc byte[VarInt.MaxLongSize];
            var size = VarInt.Write(bytes, value);
            Assert.Equal(VarInt.SizeOf(value), size);
            var position = 0;
            Assert.True(VarInt.TryRead(bytes[..size], ref position, out long readLong));
            Assert.Equal((value, size), (readLong, position));
            position = 0;
            Assert.False(VarInt.TryRead(bytes[..(size - 1)], ref position, out readLong));
            Assert.Equal(0, position);

            size = VarInt.Write(bytes, (int)value);
            Assert.Equal(VarInt.SizeOf((int)value), size);
            Assert.True(VarInt.TryRead(bytes[..size], ref position, out int readInt));
            Assert.Equal(((int)value, size), (readInt, position));
        }, count: 2000);

    private static void AssertRecords(SampleRecord[] expected, List<(long Offset, SampleRecord Record)> actual, long baseOffset)
    {
        Assert.Equal(expected.Length, actual.Count);
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.Equal(baseOffset + i, actual[i].Offset);
            SampleRecord.AssertSame(expected[i], actual[i].Record);
        }
    }

    private static class ArbMapGenerators
    {
        public static readonly FsCheck.Gen<long> AnyLong =
            Gen.Choose(int.MinValue, int.MaxValue).Two().Select(pair => ((long)pair.Item1 << 32) | (uint)pair.Item2);
    }
}
