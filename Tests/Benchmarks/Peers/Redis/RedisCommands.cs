using System.Globalization;
using System.Text;

namespace OrleansMq.Tests.Benchmarks.Peers.Redis;

/// <summary>Encodes commands for a stream in Redis' protocol (RESP2).</summary>
internal static class RedisCommands
{
    /// <summary>Encodes <c>XADD stream * v VALUE</c> repeatedly; any number of commands is a prefix of the result.</summary>
    /// <remarks><code>*5 CRLF $4 CRLF XADD CRLF $n CRLF stream CRLF $1 CRLF * CRLF $1 CRLF v CRLF $n CRLF value CRLF</code></remarks>
    public static byte[] Append(string stream, ReadOnlySpan<byte> value, int times)
    {
        var head = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture,
            $"*5\r\n$4\r\nXADD\r\n${stream.Length}\r\n{stream}\r\n$1\r\n*\r\n$1\r\nv\r\n${value.Length}\r\n"));
        var length = head.Length + value.Length + 2;
        var commands = new byte[length * times];
        for (var at = 0; at < commands.Length; at += length)
        {
            head.CopyTo(commands, at);
            value.CopyTo(commands.AsSpan(at + head.Length));
            "\r\n"u8.CopyTo(commands.AsSpan(at + length - 2));
        }
        return commands;
    }
}
