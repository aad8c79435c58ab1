using System.Net;
using System.Net.Sockets;
using System.Text;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Sends raw bytes to the broker's port and reads the response, for requests that no HTTP library would send.</summary>
internal sealed class RawExchange : IAsyncDisposable
{
    private readonly TcpClient _client = new();

    public static Task<RawExchange> SendAsync(RunningBroker broker, string text) => SendAsync(broker.Http.BaseAddress!, text);

    public static async Task<RawExchange> SendAsync(Uri address, string text)
    {
        var exchange = new RawExchange();
        await exchange._client.ConnectAsync(IPAddress.Loopback, address.Port);
        await exchange._client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(text));
        return exchange;
    }

    /// <summary>Reads the beginning of the answer.</summary>
    public async Task<string> ReadAsync(int bytes)
    {
        var read = new byte[bytes];
        await _client.GetStream().ReadExactlyAsync(read).AsTask().WaitAsync(RunningBroker.Patience);
        return Encoding.ASCII.GetString(read);
    }

    /// <summary>Reads until the broker closes the connection.</summary>
    public async Task<string> ReadToEndAsync()
    {
        using var reader = new StreamReader(_client.GetStream(), Encoding.UTF8, leaveOpen: true);
        return await reader.ReadToEndAsync().WaitAsync(RunningBroker.Patience);
    }

    public ValueTask DisposeAsync()
    {
        _client.Dispose();
        return default;
    }
}
