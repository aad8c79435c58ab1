using System.Net;
using System.Net.Sockets;
using System.Text;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>A produce request over a plain socket that sends lines on command and reads answers meanwhile.</summary>
internal sealed class OpenExchange : IAsyncDisposable
{
    private readonly TcpClient _client = new();
    private NetworkStream _stream = null!;
    private string _body = "";
    private bool _ended;

    public static Task<OpenExchange> StartAsync(RunningBroker broker, string topic, string headers = "") =>
        StartAsync(broker.Http.BaseAddress!, topic, headers);

    public static async Task<OpenExchange> StartAsync(Uri address, string topic, string headers = "")
    {
        var exchange = new OpenExchange();
        await exchange._client.ConnectAsync(IPAddress.Loopback, address.Port);
        exchange._stream = exchange._client.GetStream();
        await exchange.WriteAsync($"POST /api/topics/{topic}/records HTTP/1.1\r\nHost: {address.Authority}\r\nTransfer-Encoding: "
            + $"chunked\r\n{headers}\r\n");
        return exchange;
    }

    public Task SendAsync(string text) => WriteAsync($"{Encoding.UTF8.GetByteCount(text):x}\r\n{text}\r\n");

    public Task EndAsync() => WriteAsync("0\r\n\r\n");

    /// <summary>Reads the status and the headers.</summary>
    public async Task<string> ReadHeadAsync()
    {
        var head = new StringBuilder();
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
            head.Append((char)await ReadByteAsync());
        return head.ToString();
    }

    /// <summary>Reads the next line of the answer; null at its end.</summary>
    public async Task<string?> ReadLineAsync()
    {
        if (_body.Length == 0 && !_ended && !_headWasRead)
        {
            Assert.StartsWith("HTTP/1.1 200", await ReadHeadAsync(), StringComparison.Ordinal);
            _headWasRead = true;
        }
        while (!_body.Contains('\n', StringComparison.Ordinal) && !_ended)
            await ReadChunkAsync();
        var end = _body.IndexOf('\n', StringComparison.Ordinal);
        if (end < 0)
            return null;
        var line = _body[..end];
        _body = _body[(end + 1)..];
        return line;
    }

    public ValueTask DisposeAsync()
    {
        // Zero linger resets the connection: the broker sees a lost client, not a finished one.
        _client.LingerState = new LingerOption(true, 0);
        _client.Dispose();
        return default;
    }

    private bool _headWasRead;

    private async Task ReadChunkAsync()
    {
        var size = new StringBuilder();
        while (!size.ToString().EndsWith("\r\n", StringComparison.Ordinal))
            size.Append((char)await ReadByteAsync());
        var length = Convert.ToInt32(size.ToString().Trim(), 16);
        var bytes = new byte[length + 2];
        await _stream.ReadExactlyAsync(bytes).AsTask().WaitAsync(RunningBroker.Patience);
        _body += Encoding.UTF8.GetString(bytes, 0, length);
        _ended = length == 0;
    }

    private async Task<byte> ReadByteAsync()
    {
        var one = new byte[1];
        await _stream.ReadExactlyAsync(one).AsTask().WaitAsync(RunningBroker.Patience);
        return one[0];
    }

    private Task WriteAsync(string text) => _stream.WriteAsync(Encoding.UTF8.GetBytes(text)).AsTask();
}
