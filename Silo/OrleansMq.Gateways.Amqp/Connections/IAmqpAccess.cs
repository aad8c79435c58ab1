using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>What decides who may connect, and opens virtual hosts.</summary>
internal interface IAmqpAccess
{
    /// <summary>Checks a user and its password, or the answer to a challenge.</summary>
    ValueTask<LoginResult> LoginAsync(AmqpLogin login, AmqpClient client);

    /// <summary>Opens a virtual host for a user that has logged in.</summary>
    /// <exception cref="AmqpException">It is missing, or refused: the connection is closed with this error.</exception>
    ValueTask<IAmqpSession> OpenAsync(string virtualHost, AmqpClient client);
}

/// <summary>A connection in its virtual host.</summary>
internal interface IAmqpSession
{
    /// <summary>Creates a channel.</summary>
    /// <param name="client">The channel's way to the client.</param>
    IAmqpChannel CreateChannel(IChannelClient client);

    /// <summary>Why the connection has to end, such as that its user or virtual host is deleted; null: it need not.</summary>
    string? EndReason { get; }

    /// <summary>Replaces the secret of the login. Returns whether it was accepted.</summary>
    ValueTask<bool> UpdateSecretAsync(LongString secret, string reason);

    /// <summary>Ends the session, after all its channels: exclusive queues are deleted.</summary>
    ValueTask EndAsync();
}

/// <summary>A channel. Its methods are called one at a time, in the order of the client's commands; channels run side by side.</summary>
internal interface IAmqpChannel
{
    /// <summary>Opens it. The client's commands follow once this completes.</summary>
    /// <exception cref="AmqpException">It is refused.</exception>
    ValueTask OpenAsync();

    /// <summary>Handles one method of the classes exchange, queue, basic, confirm and tx, and answers through the channel's
    /// client.</summary>
    /// <param name="method">The method.</param>
    /// <param name="content">The content of a publish, whose memory is valid until the task completes; null for other methods.</param>
    /// <exception cref="AmqpException">What ends the channel, or the connection.</exception>
    ValueTask HandleAsync(IMethod method, AmqpContent? content);

    /// <summary>Ends it: consumers are cancelled, and deliveries that are not acknowledged are returned. Called once, whether or not the
    /// channel was opened.</summary>
    ValueTask EndAsync();

    /// <summary>Describes it, from any thread.</summary>
    ChannelDescription Describe();
}

/// <summary>A channel's way to its client. Thread safe. What is sent after the channel has failed or ended is dropped.</summary>
internal interface IChannelClient
{
    /// <summary>The channel's number.</summary>
    ushort Number { get; }

    /// <summary>The connection's client.</summary>
    AmqpClient Client { get; }

    /// <summary>Whether nothing should be delivered before <see cref="WaitForRoomAsync"/>: the client receives slowly, or the connection
    /// closes.</summary>
    bool IsFull { get; }

    /// <summary>Whether answers of direct reply-to are dropped: the client does not receive, or the connection closes.</summary>
    bool DropsReplies => IsFull;

    /// <summary>Whether the client is there, and the connection does not close.</summary>
    bool CanDeliver { get; }

    /// <summary>Completes once the channel's end waits behind its commands: the client has closed it, or its connection closes.</summary>
    Task Ending { get; }

    /// <summary>Sends a method.</summary>
    void Send<T>(in T method)
        where T : IMethod;

    /// <summary>Sends a method and its content, whose bytes are copied.</summary>
    void Send<T>(in T method, ContentProperties properties, ReadOnlySpan<byte> body)
        where T : IMethod;

    /// <summary>A content is to be sent, and takes room until then.</summary>
    /// <param name="bytes">Its bytes; negative where it is sent now.</param>
    void Expect(int bytes)
    {
        // Of a client that always has room.
    }

    /// <summary>More is sent at once: what is sent may collect until <see cref="Release"/>, which must follow soon.</summary>
    void Hold();

    /// <summary>Ends <see cref="Hold"/>.</summary>
    void Release();

    /// <summary>Returns once there is room for deliveries; never where the connection closes.</summary>
    Task WaitForRoomAsync();

    /// <summary>Closes the channel, or the connection, with an error of no particular command.</summary>
    void Fail(AmqpException fault);
}

/// <summary>What a client logs in with.</summary>
/// <param name="Mechanism">The SASL mechanism.</param>
/// <param name="User">The user's name.</param>
/// <param name="Password">The password.</param>
internal sealed record AmqpLogin(string Mechanism, string User, string Password)
{
    /// <summary>The text without the password.</summary>
    public override string ToString() => $"{User} by {Mechanism}";
}

/// <summary>What came of a login.</summary>
internal enum LoginOutcome
{
    /// <summary>None yet.</summary>
    None = 0,
    /// <summary>The user may open a virtual host.</summary>
    Accepted,
    /// <summary>The user or the password is wrong, or the user may not log in from where it is.</summary>
    Refused,
    /// <summary>The client has to answer a challenge.</summary>
    Challenged,
}

/// <summary>What came of a login, with its reason for the log, or the challenge.</summary>
internal readonly record struct LoginResult(LoginOutcome Outcome, string Reason = "", LongString Challenge = default);
