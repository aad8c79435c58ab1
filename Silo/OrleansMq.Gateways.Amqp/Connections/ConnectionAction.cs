using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Connections;

/// <summary>What the machine of a connection asks its shell to do.</summary>
internal enum ActionKind
{
    /// <summary>Nothing.</summary>
    None = 0,
    /// <summary>Check <see cref="ConnectionAction.Login"/>; then <see cref="ConnectionMachine.LoggedIn"/>.</summary>
    Login,
    /// <summary>Open the client's virtual host; then <see cref="ConnectionMachine.HostOpened"/>.</summary>
    OpenHost,
    /// <summary>Replace the secret of the login; then <see cref="ConnectionMachine.SecretUpdated"/>.</summary>
    UpdateSecret,
    /// <summary>Create a channel and open it; then <see cref="ConnectionMachine.ChannelOpened"/>.</summary>
    OpenChannel,
    /// <summary>Have the channel handle a method; then <see cref="ConnectionMachine.Handled"/>.</summary>
    Handle,
    /// <summary>End a channel behind its commands; then <see cref="ConnectionMachine.ChannelEnded"/>.</summary>
    EndChannel,
    /// <summary>End the session; then <see cref="ConnectionMachine.SessionEnded"/>.</summary>
    EndSession,
    /// <summary>Close the TCP connection behind the output so far. <see cref="ConnectionAction.Text"/> says why; null: in good
    /// order.</summary>
    CloseTcp,
}

/// <summary>What the machine of a connection asks its shell to do.</summary>
/// <param name="Kind">What.</param>
/// <param name="Channel">The channel; null where it is none's.</param>
/// <param name="Method">The method to handle, or update-secret.</param>
/// <param name="Content">The content of a publish.</param>
/// <param name="Bytes">What the command counts among those in flight.</param>
/// <param name="Login">What the client logs in with.</param>
/// <param name="Text">A reason.</param>
/// <param name="AwaitsClient">Whether the client ends the TCP connection, within a limit, and what it still writes is dropped.</param>
internal readonly record struct ConnectionAction(ActionKind Kind, ChannelState? Channel = null, IMethod? Method = null,
    AmqpContent? Content = null, int Bytes = 0, AmqpLogin? Login = null, string? Text = null, bool AwaitsClient = false);

/// <summary>The state of a channel, as its frames see it.</summary>
internal enum ChannelStatus
{
    /// <summary>None.</summary>
    None = 0,
    /// <summary>Commands are taken; those that come before open-ok wait behind it.</summary>
    Open,
    /// <summary>The client has sent close: close-ok follows once the channel has ended. Its frames are ignored.</summary>
    ClosingByClient,
    /// <summary>An error occurred: close follows once the channel has ended, behind the commands before the error. Its frames are
    /// ignored.</summary>
    Failing,
    /// <summary>Close was sent: the client's close-ok frees the number. All other frames but close are ignored.</summary>
    ClosingByServer,
    /// <summary>The channel's number is free, or the connection is closing or gone. Nothing is sent.</summary>
    Ended,
}

/// <summary>A channel of a connection, and the content that arrives on it.</summary>
/// <param name="number">1 to channel_max.</param>
internal sealed class ChannelState(ushort number)
{
    /// <summary>The number.</summary>
    public ushort Number { get; } = number;

    /// <summary>The state. Only the machine sets it.</summary>
    public ChannelStatus Status { get; set; } = ChannelStatus.Open;

    /// <summary>The error of a channel that fails.</summary>
    public AmqpException? Fault { get; set; }

    /// <summary>Whether the client closed a channel that fails.</summary>
    public bool IsClosedByClient { get; set; }

    /// <summary>The method whose content arrives; null: the next frame is a method.</summary>
    public IMethod? Pending { get; set; }

    /// <summary>The content that arrives; null before its header.</summary>
    public AmqpContent? Content { get; set; }

    /// <summary>When a part of the content came last.</summary>
    public TimeSpan ContentAt { get; set; }
}
