using Orleans.Concurrency;
using OrleansMq.Access;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Security;
using OrleansMq.Security;

namespace OrleansMq.Grains.Access;

/// <summary>Authenticates Orleans' clients, as HTTP and the Kafka protocol do: by the same users, limits and issuers of tokens. It keeps
/// nothing, so every silo has one.</summary>
[GrainType("omq.login")]
[StatelessWorker, Reentrant]
internal sealed class LoginGrain(SiloSecurity security, BrokerAccess access, SiloBroker broker) : Grain, ILoginGrain
{
    private static readonly TimeSpan FailureDelay = TimeSpan.FromMilliseconds(100);

    /// <inheritdoc/>
    public async Task<LoginAnswer> LogInAsync(string mechanism, byte[] message, CancellationToken cancellationToken)
    {
        if (this.GetPrimaryKeyString() != GrainKeys.Cluster)
        {
            // Invented keys leave no activations behind.
            DeactivateOnIdle();
            throw new BrokerException(ErrorCode.InvalidRequest,
                $"There is one grain to log in at, under the key '{GrainKeys.Cluster}'.");
        }
        if (security.Tickets is not { } tickets || !security.Users.IsEnabled)
            return new LoginAnswer { Ticket = [], Life = BrokerTickets.ClientLife };
        if (mechanism is not (PlainExchange.Name or BearerExchange.Name)
            || SaslExchange.Begin(mechanism, security.Users, host: "") is not { } exchange)
            throw new BrokerException(ErrorCode.UnsupportedSaslMechanism, Offered() is { Length: > 0 } offered
                ? $"Orleans' clients log in here with {offered}."
                : "Orleans' clients cannot log in here: the broker offers neither PLAIN nor OAUTHBEARER.");
        var step = message is { Length: <= SaslExchange.MaxMessageBytes } ? await AuthenticateAsync(exchange, message, cancellationToken)
            : SaslStep.Failed(mechanism);
        if (step.Principal is not { } principal || !TicketFormat.CanName(principal))
        {
            access.Meter.Denials.Failed(SessionProtocol.Orleans);
            await Task.Delay(FailureDelay, broker.Options.TimeProvider, cancellationToken);
            throw new BrokerException(ErrorCode.SaslAuthenticationFailed, SaslStep.Failed(mechanism).Failure!);
        }
        var ticket = tickets.Issue(principal, step.ExpiresAt, step.CreatedAt ?? -1, step.ChangedAt ?? -1, out var life);
        var session = tickets.OpenSession(principal, step.CreatedAt ?? -1, step.ChangedAt ?? -1, life);
        return new LoginAnswer
        {
            Ticket = ticket,
            Life = life,
            Session = session?.Session,
            Secret = session?.Secret,
            At = session?.At ?? default,
        };
    }

    private static async Task<SaslStep> AuthenticateAsync(SaslExchange exchange, byte[] message, CancellationToken cancellationToken)
    {
        try
        {
            return await exchange.NextAsync(message, cancellationToken);
        }
        catch (IOException unreachable)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable,
                $"The client cannot be authenticated now: {unreachable.Message} Retry.", unreachable);
        }
    }

    private string Offered() => string.Join(" or ", security.Users.Mechanisms
        .Where(static name => name is PlainExchange.Name or BearerExchange.Name));
}
