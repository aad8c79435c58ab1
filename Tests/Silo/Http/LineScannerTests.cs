using System.Buffers;
using System.Text;
using OrleansMq.Gateways.Http.Lines;

namespace OrleansMq.Tests.Silo.Http;

public sealed class LineScannerTests
{
    [Fact]
    public void Line_in_pieces_is_looked_through_once()
    {
        var scanner = new LineScanner();
        Assert.Null(scanner.FindEnd(Of("begin")));
        Assert.Null(scanner.FindEnd(Of("begin, middle")));
        // A line feed in what was looked through shows that it is not looked through again.
        Assert.Equal("\n\n\n\n\n\n\n\n\n\n\n\n\n, end", Before("\n\n\n\n\n\n\n\n\n\n\n\n\n, end\nnext", ref scanner));
        Assert.Equal("next", Before("next\n", ref scanner));
        Assert.Equal("", Before("\n", ref scanner));
    }

    private static string Before(string text, ref LineScanner scanner)
    {
        var buffer = Of(text);
        return Encoding.UTF8.GetString(buffer.Slice(0, scanner.FindEnd(buffer)!.Value));
    }

    private static ReadOnlySequence<byte> Of(string text) => new(Encoding.UTF8.GetBytes(text));
}
