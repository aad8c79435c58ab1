using System.Text;
using OrleansMq.Compression;
using OrleansMq.Dedupe;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Dedupe;

/// <summary>The ids in the headers of records.</summary>
public sealed class MessageIdTests
{
    private const int Most = 100_000;

    [Theory]
    [InlineData(CompressionType.None)]
    [InlineData(CompressionType.Lz4)]
    public void Batch_has_an_id_for_each_record_that_names_one(CompressionType compression)
    {
        var batch = Build(compression, ["a"], [], ["b", "c"]);
        var (ids, count, _) = MessageIds.Read(batch, Most, StandardCodecs.All, null);
        Assert.Equal([Of("a"), MessageIds.None, Of("c")], ids!);
        Assert.Equal(2, count);
    }

    [Fact]
    public void Batch_without_ids_has_none() =>
        Assert.Null(MessageIds.Read(Build(CompressionType.None, [], []), Most, CompressionCodecs.Empty, null).Ids);

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
            Assert.NotNull(MessageIds.Read(batch, Most, CompressionCodecs.Empty, null).Ids);
            return;
        }
        var fault = Assert.Throws<RecordBatchException>(() => MessageIds.Read(batch, Most, CompressionCodecs.Empty, null));
        Assert.Equal($"Record 1: the header 'omq.message-id' has {bytes} bytes; allowed are 1 to 256. Send a shorter id, or leave the "
            + "header out.", fault.Message);
    }

    [Fact]
    public void Redriven_record_has_the_id_of_its_letter()
    {
        UInt128[] ids = [Of("a"), Redriven("letters/0/5/g", 1), Redriven("letters/0/9/g", 1), Redriven("letters/0/5/h", 1)];
        Assert.Equal(4, ids.Distinct().Count());
        Assert.Equal(ids[1], Redriven("letters/0/5/g", 2));

        static UInt128 Redriven(string from, int times)
        {
            using var builder = new RecordBatchBuilder();
            builder.Add(1, default, false, "v"u8, true, [Header("omq.dead-letter.redrives", $"{times}"),
                Header(MessageIds.RedrivenFromHeader, from), Header(MessageHeaders.MessageId, "a")]);
            return Assert.Single(MessageIds.Read(builder.Build(), Most, CompressionCodecs.Empty, null).Ids!);
        }

        static RecordHeader Header(string name, string value) => new(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(value));
    }

    [Fact]
    public void What_is_decompressed_counts()
    {
        var batch = Build(CompressionType.Lz4, [new string('x', 200)], [new string('y', 200)]);
        Assert.Throws<RecordBatchException>(() => MessageIds.Read(batch, Most, StandardCodecs.All, new DecompressionAllowance(100)));
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
