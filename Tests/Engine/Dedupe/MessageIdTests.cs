using System.Text;
using OrleansMq.Compression;
using OrleansMq.Dedupe;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Dedupe;

/// <summary>The ids in the headers of records.</summary>
public sealed class MessageIdTests
{
    [Theory]
    [InlineData(CompressionType.None)]
    [InlineData(CompressionType.Lz4)]
    public void Batch_has_an_id_for_each_record_that_names_one(CompressionType compression)
    {
        var batch = Build(compression, ["a"], [], ["b", "c"]);
        Assert.Equal([Of("a"), MessageIds.None, Of("c")], MessageIds.Read(batch, StandardCodecs.All, null)!);
    }

    [Fact]
    public void Batch_without_ids_has_none() =>
        Assert.Null(MessageIds.Read(Build(CompressionType.None, [], []), CompressionCodecs.Empty, null));

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, true)]
    [InlineData(256, true)]
    [InlineData(257, false)]
    public void Id_has_1_to_256_bytes(int bytes, bool isAllowed)
    {
        var batch = Build(CompressionType.None, [], [new string('x', bytes)]);
        if (isAllowed)
        {
            Assert.NotNull(MessageIds.Read(batch, CompressionCodecs.Empty, null));
            return;
        }
        var fault = Assert.Throws<RecordBatchException>(() => MessageIds.Read(batch, CompressionCodecs.Empty, null));
        Assert.Equal($"Record 1: the header 'omq.message-id' has {bytes} bytes; allowed are 1 to 256. Send a shorter id, or leave the "
            + "header out.", fault.Message);
    }

    [Fact]
    public void Redriven_record_has_an_id_of_its_own_for_each_time()
    {
        UInt128[] ids = [Of("a"), Redriven("1"), Redriven("2"), Redriven("1")];
        Assert.Equal(3, ids.Distinct().Count());
        Assert.Equal(ids[1], ids[3]);

        static UInt128 Redriven(string times)
        {
            using var builder = new RecordBatchBuilder();
            builder.Add(1, default, false, "v"u8, true, [new RecordHeader(Encoding.UTF8.GetBytes(MessageIds.RedrivesHeader),
                Encoding.UTF8.GetBytes(times)), new RecordHeader(Encoding.UTF8.GetBytes(MessageHeaders.MessageId), "a"u8.ToArray())]);
            return Assert.Single(MessageIds.Read(builder.Build(), CompressionCodecs.Empty, null)!);
        }
    }

    [Fact]
    public void What_is_decompressed_counts()
    {
        var batch = Build(CompressionType.Lz4, [new string('x', 200)], [new string('y', 200)]);
        Assert.Throws<RecordBatchException>(() => MessageIds.Read(batch, StandardCodecs.All, new DecompressionAllowance(100)));
    }

    private static UInt128 Of(string id) => MessageIds.Of(Encoding.UTF8.GetBytes(id));

    private static byte[] Build(CompressionType compression, params string[][] records)
    {
        using var builder = new RecordBatchBuilder(compression, StandardCodecs.All);
        foreach (var ids in records)
        {
            RecordHeader[] headers = [new("other"u8.ToArray(), "z"u8.ToArray()), .. ids.Select(static id =>
                new RecordHeader(Encoding.UTF8.GetBytes(MessageHeaders.MessageId), Encoding.UTF8.GetBytes(id)))];
            builder.Add(1, default, false, "v"u8, true, headers);
        }
        return builder.Build().ToArray();
    }
}
