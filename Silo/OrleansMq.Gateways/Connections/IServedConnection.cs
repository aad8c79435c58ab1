using System.Net;

namespace OrleansMq.Gateways.Connections;

/// <summary>A client's connection as the <see cref="ConnectionServer"/> of its gateway sees it.</summary>
internal interface IServedConnection
{
    /// <summary>The client's address.</summary>
    IPEndPoint RemoteEndPoint { get; }

    /// <summary>How long nothing was received or sent; zero while a response is due, and where the protocol has its own
    /// heartbeats.</summary>
    TimeSpan Idle { get; }

    /// <summary>Whether the client receives its answers so slowly that they are not worth what they hold. To be called every few seconds,
    /// by one caller at a time.</summary>
    bool SendsTooSlowly();

    /// <summary>Whether a request arrives so slowly that it is not worth its memory. To be called every few seconds, by one caller at a
    /// time.</summary>
    /// <param name="isScarce">Whether other requests wait for memory.</param>
    bool ReceivesTooSlowly(bool isScarce);

    /// <summary>Ends in good order: nothing new begins, and what is in flight is answered.</summary>
    void Stop();

    /// <summary>Ends the connection at once: what is not sent is lost.</summary>
    void Cut();

    /// <summary>Serves the connection until it ends.</summary>
    Task RunAsync();
}
