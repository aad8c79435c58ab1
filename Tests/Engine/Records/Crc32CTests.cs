using System.Text;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

public class Crc32CTests
{
    [Theory]
    [InlineData("", 0x00000000u)]
    [InlineData("a", 0xC1D04330u)]
    [InlineData("123456789", 0xE3069283u)]
    public void Known_vectors_match(string text, uint expected)
    {
        Assert.Equal(expected, Crc32C.Compute(Encoding.ASCII.GetBytes(text)));
        Assert.Equal(expected, Crc32C.AppendSoftware(0, Encoding.ASCII.GetBytes(text)));
    }

    /// <summary>The examples of RFC 3720, B.4: 32 bytes of zeros, of ones, counting up.</summary>
    [Fact]
    public void ISCSI_vectors_match()
    {
        var ones = new byte[32];
        Array.Fill(ones, (byte)0xFF);
        Assert.Equal(0x8A9136AAu, Crc32C.Compute(new byte[32]));
        Assert.Equal(0x62A8AB43u, Crc32C.Compute(ones));
        Assert.Equal(0x46DD794Eu, Crc32C.Compute(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray()));
    }

    [Fact]
    public void Hardware_equals_software_at_every_length_and_alignment()
    {
        var bytes = new byte[1024 + 8];
        new Random(1).NextBytes(bytes);
        for (var alignment = 0; alignment < 8; alignment++)
        {
            for (var length = 0; length <= 1024; length++)
            {
                var span = bytes.AsSpan(alignment, length);
                Assert.Equal(Crc32C.AppendSoftware(0, span), Crc32C.Compute(span));
            }
        }
    }

    [Theory]
    [InlineData(3 * 336 - 1)]
    [InlineData(3 * 336)]
    [InlineData(3 * 336 + 9)]
    [InlineData(3 * 4096 - 1)]
    [InlineData(3 * 4096)]
    [InlineData(3 * 4096 + 3 * 336 + 13)]
    [InlineData(1_000_003)]
    public void Hardware_equals_software_where_streams_are_joined(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        Assert.Equal(Crc32C.AppendSoftware(0, bytes), Crc32C.Compute(bytes));
        Assert.Equal(Crc32C.AppendSoftware(0x12345678, bytes), Crc32C.Append(0x12345678, bytes));
    }

    [Fact]
    public void Appending_parts_equals_the_whole()
    {
        var random = new Random(2);
        var bytes = new byte[40_000];
        random.NextBytes(bytes);
        var whole = Crc32C.Compute(bytes);
        for (var i = 0; i < 200; i++)
        {
            var cut = random.Next(bytes.Length + 1);
            Assert.Equal(whole, Crc32C.Append(Crc32C.Compute(bytes.AsSpan(0, cut)), bytes.AsSpan(cut)));
        }
    }
}
