using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>Stands between Kafka's clients and a broker and holds requests back. What it holds is delivered although its client has given
/// up
/// and gone, as a network does that delays packets.</summary>
internal sealed class KafkaProxy : IAsyncDisposable
{
    private const int HeaderBytes = 8;

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly int _port;
    private readonly Func<short, short, TimeSpan> _delayOf;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _accepting;

    /// <param name="port">The broker's port on this machine.</param>
    /// <param name="delayOf">How long a request is held, by its API key and version.</param>
    public KafkaProxy(int port, Func<short, short, TimeSpan> delayOf)
    {
        (_port, _delayOf) = (port, delayOf);
        _listener.Start();
        _accepting = AcceptAsync();
    }

    /// <summary>HOST:PORT where it listens.</summary>
    public string Address => $"{_listener.LocalEndpoint}";

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _accepting;
        _listener.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var client = await _listener.AcceptSocketAsync(_stop.Token);
                _ = Task.Run(() => ServeAsync(client), CancellationToken.None);
            }
        }
        catch (OperationCanceledException)
        {
            // Disposed.
        }
    }

    private async Task ServeAsync(Socket client)
    {
        using var server = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using (client)
        {
            client.NoDelay = true;
            try
            {
                await server.ConnectAsync(IPAddress.Loopback, _port, _stop.Token);
                var answers = AnswerAsync(server, client);
                await RequestAsync(client, server);
                await answers;
            }
            catch (Exception gone) when (gone is SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // One side has gone: the other loses its connection, too.
            }
        }
    }

    private async Task RequestAsync(Socket client, Socket server)
    {
        var buffer = new byte[64 << 10];
        try
        {
            while (true)
            {
                await ReadAsync(client, buffer.AsMemory(0, HeaderBytes));
                var left = BinaryPrimitives.ReadInt32BigEndian(buffer) + sizeof(int) - HeaderBytes;
                var delay = _delayOf(BinaryPrimitives.ReadInt16BigEndian(buffer.AsSpan(4)),
                    BinaryPrimitives.ReadInt16BigEndian(buffer.AsSpan(6)));
                if (delay > TimeSpan.Zero)
                {
                    // All of it, lest the client's end take a part away.
                    var held = new byte[HeaderBytes + left];
                    buffer.AsSpan(0, HeaderBytes).CopyTo(held);
                    await ReadAsync(client, held.AsMemory(HeaderBytes));
                    await Task.Delay(delay, _stop.Token);
                    await WriteAsync(server, held);
                    continue;
                }
                await WriteAsync(server, buffer.AsMemory(0, HeaderBytes));
                for (int piece; left > 0; left -= piece)
                {
                    piece = Math.Min(left, buffer.Length);
                    await ReadAsync(client, buffer.AsMemory(0, piece));
                    await WriteAsync(server, buffer.AsMemory(0, piece));
                }
            }
        }
        catch (Exception gone) when (gone is SocketException or EndOfStreamException or ObjectDisposedException)
        {
            if (server.Connected)
                server.Shutdown(SocketShutdown.Send);
        }
    }

    // Answers to a client that is gone are read to their end, lest a reset overtake its last request. When the broker is gone so is the
    // connection of its client, which would wait otherwise.
    private async Task AnswerAsync(Socket server, Socket client)
    {
        var (buffer, isThere) = (new byte[64 << 10], true);
        try
        {
            for (int read; (read = await server.ReceiveAsync(buffer, _stop.Token)) > 0;)
                isThere = isThere && await TryWriteAsync(client, buffer.AsMemory(0, read));
        }
        finally
        {
            client.Close();
        }
    }

    private async Task<bool> TryWriteAsync(Socket client, ReadOnlyMemory<byte> bytes)
    {
        try
        {
            await WriteAsync(client, bytes);
            return true;
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            return false;
        }
    }

    private async Task ReadAsync(Socket from, Memory<byte> into)
    {
        while (into.Length > 0)
        {
            var read = await from.ReceiveAsync(into, _stop.Token);
            if (read == 0)
                throw new EndOfStreamException();
            into = into[read..];
        }
    }

    private async Task WriteAsync(Socket to, ReadOnlyMemory<byte> bytes)
    {
        while (bytes.Length > 0)
            bytes = bytes[await to.SendAsync(bytes, _stop.Token)..];
    }
}
