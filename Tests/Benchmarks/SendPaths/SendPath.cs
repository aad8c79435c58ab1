using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Win32.SafeHandles;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks.SendPaths;

/// <summary>A server that answers each request (four bytes: the number of bytes wanted) with the next piece of a file.</summary>
internal abstract class SendPath(SafeFileHandle file)
{
    private readonly long _length = RandomAccess.GetLength(file);
    private long _position;

    /// <summary>The name in the table.</summary>
    public abstract string Name { get; }

    protected SafeFileHandle File { get; } = file;

    /// <summary>Starts to serve one connection.</summary>
    public abstract Task<ServedPort> ListenAsync();

    /// <summary>Returns the position of the next piece.</summary>
    protected long Next(int size)
    {
        if (_position + size > _length)
            _position = 0;
        var position = _position;
        _position += size;
        return position;
    }

    /// <summary>Reads a piece into memory and computes its CRC, in batches of 64 KiB, like a log that verifies what it sends.</summary>
    protected void Read(Span<byte> target, long position, bool verify)
    {
        for (var done = 0; done < target.Length;)
            done += RandomAccess.Read(File, target[done..], position + done);
        if (!verify)
            return;
        uint all = 0;
        for (; !target.IsEmpty; target = target[Math.Min(target.Length, 64 << 10)..])
            all |= Crc32C.Compute(target[..Math.Min(target.Length, 64 << 10)]);
        if (all == 0)
            throw new InvalidOperationException("Bytes at random have no CRC of 0.");
    }
}

/// <summary>A listening port. Dispose ends it when its connection is done.</summary>
internal sealed class ServedPort(int port, Func<ValueTask> end) : IAsyncDisposable
{
    public int Port => port;

    public ValueTask DisposeAsync() => end();
}

/// <summary>Kestrel's transport: the piece is read into pooled memory, copied into the pipe and sent by Kestrel.</summary>
internal sealed class KestrelPath(SafeFileHandle file) : SendPath(file)
{
    private const int FlushBytes = 256 << 10;

    public override string Name => "pooled, CRC, Kestrel's pipe";

    public override async Task<ServedPort> ListenAsync()
    {
        var transport = new SocketTransportFactory(Options.Create(new SocketTransportOptions()), NullLoggerFactory.Instance);
        var listener = await transport.BindAsync(new IPEndPoint(IPAddress.Loopback, 0));
        var serving = ServeAsync(listener);
        return new ServedPort(((IPEndPoint)listener.EndPoint).Port, async () =>
        {
            await serving;
            await listener.DisposeAsync();
        });
    }

    private async Task ServeAsync(IConnectionListener listener)
    {
        await using var connection = (await listener.AcceptAsync())!;
        var (input, output) = (connection.Transport.Input, connection.Transport.Output);
        while (true)
        {
            var read = await input.ReadAtLeastAsync(sizeof(int));
            if (read.Buffer.Length < sizeof(int))
                return;
            var size = BinaryPrimitives.ReadInt32LittleEndian(read.Buffer.Slice(0, sizeof(int)).ToArray());
            input.AdvanceTo(read.Buffer.GetPosition(sizeof(int)));
            var piece = ArrayPool<byte>.Shared.Rent(size);
            Read(piece.AsSpan(0, size), Next(size), verify: true);
            for (var rest = piece.AsMemory(0, size); !rest.IsEmpty; rest = rest[Math.Min(rest.Length, FlushBytes)..])
            {
                output.Write(rest.Span[..Math.Min(rest.Length, FlushBytes)]);
                await output.FlushAsync();
            }
            ArrayPool<byte>.Shared.Return(piece);
        }
    }
}

/// <summary>A plain socket: one connection, served by asynchronous calls.</summary>
internal abstract class SocketPath(SafeFileHandle file) : SendPath(file)
{
    public sealed override Task<ServedPort> ListenAsync()
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var serving = ServeAsync(listener);
        return Task.FromResult(new ServedPort(((IPEndPoint)listener.LocalEndPoint!).Port, async () =>
        {
            await serving;
            listener.Dispose();
        }));
    }

    protected abstract ValueTask SendAsync(Socket socket, int size);

    private async Task ServeAsync(Socket listener)
    {
        using var socket = await listener.AcceptAsync();
        socket.NoDelay = true;
        var request = new byte[sizeof(int)];
        while (await socket.ReceiveAsync(request) == sizeof(int))
            await SendAsync(socket, BinaryPrimitives.ReadInt32LittleEndian(request));
    }
}

/// <summary>Sends from the pooled memory into which the piece was read.</summary>
internal sealed class PooledSocketPath(SafeFileHandle file, bool verify) : SocketPath(file)
{
    public override string Name => $"pooled, {(verify ? "CRC" : "unverified")}, bare socket";

    protected override async ValueTask SendAsync(Socket socket, int size)
    {
        var piece = ArrayPool<byte>.Shared.Rent(size);
        Read(piece.AsSpan(0, size), Next(size), verify);
        for (var sent = 0; sent < size;)
            sent += await socket.SendAsync(piece.AsMemory(sent, size - sent));
        ArrayPool<byte>.Shared.Return(piece);
    }
}

/// <summary><c>sendfile(2)</c>. When the socket buffer is full, a small piece is copied and sent, whose completion signals room.</summary>
internal sealed partial class SendFilePath(SafeFileHandle file, bool verify) : SocketPath(file)
{
    private const int CopiedBytes = 16 << 10;
    private const int WouldBlock = 11;

    public override string Name => verify ? "pooled CRC, then sendfile" : "sendfile, unverified";

    protected override async ValueTask SendAsync(Socket socket, int size)
    {
        var position = Next(size);
        if (verify)
        {
            var piece = ArrayPool<byte>.Shared.Rent(64 << 10);
            for (var at = 0; at < size; at += 64 << 10)
                Read(piece.AsSpan(0, Math.Min(64 << 10, size - at)), position + at, verify: true);
            ArrayPool<byte>.Shared.Return(piece);
        }
        for (var left = size; left > 0;)
        {
            var sent = SendFile(socket, position, left);
            if (sent == 0)
            {
                var piece = ArrayPool<byte>.Shared.Rent(CopiedBytes);
                var copied = Math.Min(left, CopiedBytes);
                Read(piece.AsSpan(0, copied), position, verify: false);
                sent = await socket.SendAsync(piece.AsMemory(0, copied));
                ArrayPool<byte>.Shared.Return(piece);
            }
            position += sent;
            left -= sent;
        }
    }

    private int SendFile(Socket socket, long position, int count)
    {
        var sent = SendFile(socket.SafeHandle, File, ref position, (nuint)count);
        if (sent >= 0)
            return (int)sent;
        return Marshal.GetLastPInvokeError() is WouldBlock ? 0
            : throw new IOException($"sendfile failed: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");
    }

    [LibraryImport("libc", EntryPoint = "sendfile", SetLastError = true)]
    private static partial nint SendFile(SafeSocketHandle socket, SafeFileHandle file, ref long position, nuint count);
}
