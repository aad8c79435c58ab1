using System.Buffers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Tls;

/// <summary>
/// The bytes below TLS. During the handshake it computes in turns: a client that connects and sends nothing, or little, holds no turn while
/// it is waited for. Afterwards the TLS records of one send are collected, so that many share a system call. A reader computes between
/// <see cref="EnterAsync"/> and <see cref="Leave"/>, except while it waits for the client.
/// </summary>
/// <param name="socket">The client's socket, which is not owned.</param>
internal sealed class TlsTransport(Socket socket) : AsyncStream
{
    // The content type of a TLS handshake.
    private const byte Handshake = 0x16;
    private const int CollectedBytes = 64 << 10;

    // A handshake computes for about a millisecond. All ports together leave processors to the connections that are open.
    private static readonly SemaphoreSlim s_turns = new(Math.Max(Environment.ProcessorCount / 2, 1));

    // .NET lets nothing but a read and a write use the state of TLS at a time. The end of TLS would damage the process's memory beside a
    // read.
    private readonly SemaphoreSlim _computing = new(1, 1);
    private bool _isHandshaking;
    private bool _hasTurn;
    private bool _isCollecting;
    private byte[]? _collected;
    private int _length;

    /// <summary>Whether the client has sent anything.</summary>
    public bool HasReceived { get; private set; }

    /// <summary>The handshake begins.</summary>
    public void BeginHandshake() => _isHandshaking = true;

    /// <summary>The handshake has ended, or failed.</summary>
    public void EndHandshake()
    {
        _isHandshaking = false;
        PassTurn();
    }

    /// <summary>Waits until nobody else computes.</summary>
    public Task EnterAsync() => _computing.WaitAsync();

    /// <summary>Lets the next one compute.</summary>
    public void Leave() => _computing.Release();

    /// <summary>Keeps what is written until <see cref="SendCollectedAsync"/>.</summary>
    public void Collect() => _isCollecting = true;

    /// <summary>Sends what was collected.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public async ValueTask SendCollectedAsync()
    {
        _isCollecting = false;
        if (_collected is not { } collected)
            return;
        try
        {
            await SendAllAsync(collected.AsMemory(0, _length), CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            // An idle connection holds no memory.
            (_collected, _length) = (null, 0);
            ArrayPool<byte>.Shared.Return(collected);
        }
    }

    /// <inheritdoc/>
    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_isHandshaking)
            return ReadInTurnAsync(buffer, cancellationToken);
        var receiving = socket.ReceiveAsync(buffer, SocketFlags.None, cancellationToken);
        return receiving.IsCompleted ? receiving : WaitAsync(receiving);
    }

    /// <inheritdoc/>
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (!_isCollecting)
            return SendAllAsync(buffer, cancellationToken);
        if (_length + buffer.Length > CollectedBytes)
            return SendMoreAsync(buffer, cancellationToken);
        Keep(buffer.Span);
        return default;
    }

    /// <inheritdoc/>
    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    // For a reader that has entered.
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> WaitAsync(ValueTask<int> receiving)
    {
        Leave();
        try
        {
            return await receiving.ConfigureAwait(false);
        }
        finally
        {
            await EnterAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask<int> ReadInTurnAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        PassTurn();
        var count = await socket.ReceiveAsync(buffer, SocketFlags.None, cancellationToken).ConfigureAwait(false);
        if (count == 0)
            return 0;
        if (!HasReceived && buffer.Span[0] != Handshake)
            throw new NotTlsException();
        HasReceived = true;
        await s_turns.WaitAsync(cancellationToken).ConfigureAwait(false);
        _hasTurn = true;
        return count;
    }

    private void PassTurn()
    {
        if (!_hasTurn)
            return;
        _hasTurn = false;
        s_turns.Release();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask SendMoreAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken)
    {
        if (_length > 0)
            await SendAllAsync(_collected.AsMemory(0, _length), cancellationToken).ConfigureAwait(false);
        _length = 0;
        if (buffer.Length > CollectedBytes)
            await SendAllAsync(buffer, cancellationToken).ConfigureAwait(false);
        else
            Keep(buffer.Span);
    }

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        _collected ??= ArrayPool<byte>.Shared.Rent(CollectedBytes);
        bytes.CopyTo(_collected.AsSpan(_length));
        _length += bytes.Length;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask SendAllAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        while (!bytes.IsEmpty)
        {
            var sending = socket.SendAsync(bytes, SocketFlags.None, cancellationToken);
            if (!sending.IsCompleted)
                PassTurn();
            bytes = bytes[await sending.ConfigureAwait(false)..];
        }
    }
}
