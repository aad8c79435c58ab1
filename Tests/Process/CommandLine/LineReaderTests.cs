using System.Text;
using OrleansMq.Cli.Records;

namespace OrleansMq.Tests.Process.CommandLine;

public sealed class LineReaderTests
{
    [Theory]
    [InlineData("", new string[0])]
    [InlineData("\n", new[] { "" })]
    [InlineData("a", new[] { "a" })]
    [InlineData("a\n", new[] { "a" })]
    [InlineData("a\n\nb", new[] { "a", "", "b" })]
    [InlineData("a\r\nb\r\n", new[] { "a\r", "b\r" })]
    [InlineData("a\r\n\r\nb\r", new[] { "a", "", "b" }, true)]
    public void Lines_end_at_line_feeds_and_keep_every_other_byte(string input, string[] lines, bool trimCarriageReturn = false)
    {
        Assert.Equal(lines, Read(input, pieceBytes: 3, maxLineBytes: 100, trimCarriageReturn));
    }

    [Fact]
    public void Non_text_bytes_pass_unchanged()
    {
        byte[] input = [0x00, 0xFF, 0xFE, (byte)'\n', 0x80, 0x0D];
        var reader = new LineReader(new MemoryStream(input), 100);

        Assert.True(reader.TryRead(out var first));
        Assert.Equal(new byte[] { 0x00, 0xFF, 0xFE }, first.ToArray());
        Assert.True(reader.TryRead(out var second));
        Assert.Equal(new byte[] { 0x80, 0x0D }, second.ToArray());
        Assert.False(reader.TryRead(out _));
        Assert.Equal(2, reader.LineNumber);
        Assert.Equal(5, reader.BytesRead);
    }

    [Fact]
    public void Line_across_many_reads_is_one_line()
    {
        var line = new string('x', 1_000_000);

        Assert.Equal([line, "end"], Read(line + "\nend", pieceBytes: 4099, maxLineBytes: 1_000_000));
    }

    [Theory]
    [InlineData("12345\n123456\n", 5, 2)]
    [InlineData("123456", 5, 1)]
    public void Line_above_the_limit_is_refused_with_its_number(string input, int maxLineBytes, int lineNumber)
    {
        var e = Assert.Throws<LineTooLongException>(() => Read(input, pieceBytes: 100, maxLineBytes));

        Assert.Equal(lineNumber, e.LineNumber);
        Assert.Equal(maxLineBytes, e.MaxLineBytes);
    }

    [Fact]
    public void Endless_line_is_refused_without_reading_it_all()
    {
        var endless = new PiecewiseStream(new byte[10_000_000], 1000);

        Assert.Throws<LineTooLongException>(() => new LineReader(endless, 100_000).TryRead(out _));
        Assert.InRange(endless.Position, 0, 300_000);
    }

    [Fact]
    public void Trimmed_carriage_return_does_not_count_against_the_limit()
    {
        Assert.Equal(["12345"], Read("12345\r\n", pieceBytes: 1, maxLineBytes: 5, trimCarriageReturn: true));
    }

    private static List<string> Read(string input, int pieceBytes, int maxLineBytes, bool trimCarriageReturn = false)
    {
        var reader = new LineReader(new PiecewiseStream(Encoding.UTF8.GetBytes(input), pieceBytes), maxLineBytes, trimCarriageReturn);
        var lines = new List<string>();
        while (reader.TryRead(out var line))
            lines.Add(Encoding.UTF8.GetString(line.Span));
        return lines;
    }

    /// <summary>A stream that returns a few bytes at a time, like a pipe.</summary>
    private sealed class PiecewiseStream(byte[] bytes, int pieceBytes) : MemoryStream(bytes)
    {
        public override int Read(byte[] buffer, int offset, int count) => base.Read(buffer, offset, Math.Min(count, pieceBytes));
    }
}
