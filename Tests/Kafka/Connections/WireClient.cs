using System.Buffers.Binary;
using System.Net.Sockets;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>Sends and receives frames.</summary>
internal sealed class WireClient(TcpClient client, Stream? stream = null) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Stream _stream = stream ?? client.GetStream();

    /// <summary>Sends a frame with its length prefix.</summary>
    public async Task SendAsync(byte[] frame)
    {
        var bytes = new byte[frame.Length + 4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, frame.Length);
        frame.CopyTo(bytes, 4);
        await _stream.WriteAsync(bytes);
    }

    /// <summary>Sends bytes unchanged.</summary>
    public async Task SendRawAsync(byte[] bytes) => await _stream.WriteAsync(bytes);

    /// <summary>Receives the next answer without its length; null if the connection was closed.</summary>
    public async Task<byte[]?> ReceiveAsync()
    {
        using var patience = new CancellationTokenSource(Patience);
        var head = new byte[4];
        try
        {
            await _stream.ReadExactlyAsync(head, patience.Token);
            var body = new byte[BinaryPrimitives.ReadInt32BigEndian(head)];
            await _stream.ReadExactlyAsync(body, patience.Token);
            return body;
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Whether bytes have arrived that were not read.</summary>
    public bool HasReceived => client.Available > 0;

    /// <summary>Ends sending; receiving continues.</summary>
    public void EndSending() => client.Client.Shutdown(SocketShutdown.Send);

    /// <summary>Resets the connection.</summary>
    public void BreakOff() => client.Client.Close(0);

    public void Dispose()
    {
        _stream.Dispose();
        client.Dispose();
    }
}
