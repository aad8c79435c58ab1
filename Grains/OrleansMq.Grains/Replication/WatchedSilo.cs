using System.Net.Sockets;

namespace OrleansMq.Grains.Replication;

/// <summary>
/// A connection to another silo's port, kept only to detect its end. Orleans sends its preamble and then waits without a time limit;
/// received bytes are discarded. Used by one thread.
/// </summary>
internal sealed class WatchedSilo(SiloAddress address) : IDisposable
{
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(2);

    private readonly byte[] _greeting = new byte[1024];
    private Socket? _socket;
    private TimeSpan _connectingSince;

    /// <summary>The silo.</summary>
    public SiloAddress Address { get; } = address;

    /// <summary>Whether the silo is on this machine, so that no network lies between.</summary>
    public bool IsLocal { get; } = EndpointProbe.IsLocal(address.Endpoint.Address);

    /// <summary>What the connection attempts have proved.</summary>
    public ProcessProof Proof { get; } = new();

    /// <summary>Whether the log already says that it is gone.</summary>
    public bool IsTold { get; set; }

    /// <summary>The socket to wait for; null between attempts.</summary>
    public Socket? Socket => _socket;

    /// <summary>Whether <see cref="Socket"/> is still connecting.</summary>
    public bool IsConnecting => _socket is not null && Proof.State != ProcessState.Connected;

    /// <summary>Starts an attempt that is due, processes socket events, and ends an attempt that takes too long.</summary>
    public void Advance(TimeSpan now)
    {
        try
        {
            if (_socket is null)
            {
                if (now >= Proof.NextAttempt)
                    BeginConnect(now);
            }
            else if (IsConnecting)
            {
                EndConnect(now);
            }
            else
            {
                ReadAway(now);
            }
        }
        catch (SocketException failure)
        {
            OnFailure(failure.SocketErrorCode, now);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _socket?.Dispose();

    private void BeginConnect(TimeSpan now)
    {
        _connectingSince = now;
        _socket = new Socket(Address.Endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { Blocking = false, NoDelay = true };
        try
        {
            _socket.Connect(Address.Endpoint);
            Proof.OnConnected();
        }
        catch (SocketException underway) when (underway.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
        {
            // The outcome is known when the socket becomes writable.
        }
    }

    private void EndConnect(TimeSpan now)
    {
        if (_socket!.Poll(0, SelectMode.SelectWrite) || _socket.Poll(0, SelectMode.SelectError))
        {
            var outcome = (int)_socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error)!;
            if (outcome == 0)
                Proof.OnConnected();
            else
                OnFailure((SocketError)outcome, now);
        }
        else if (now - _connectingSince > ConnectTimeout)
        {
            OnFailure(SocketError.TimedOut, now);
        }
    }

    private void ReadAway(TimeSpan now)
    {
        while (_socket!.Poll(0, SelectMode.SelectRead))
        {
            if (_socket.Receive(_greeting) > 0)
                continue;
            Close();
            Proof.OnClosed(now);
            return;
        }
    }

    private void OnFailure(SocketError error, TimeSpan now)
    {
        var wasConnected = Proof.State == ProcessState.Connected;
        Close();
        if (wasConnected)
            Proof.OnClosed(now);
        else if (error == SocketError.ConnectionRefused)
            Proof.OnRefused(now);
        else
            Proof.OnUnclear(now);
    }

    private void Close()
    {
        _socket?.Dispose();
        _socket = null;
    }
}
