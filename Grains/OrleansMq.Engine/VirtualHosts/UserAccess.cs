using System.Text.RegularExpressions;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// What a logged-in user may do in a virtual host. Each method checks one command, before the decision on it, in RabbitMQ's order, and
/// returns the refusal; null if the user may. A session keeps it until user, permissions or virtual host change.
/// </summary>
internal sealed class UserAccess
{
    // So the default exchange is called where names are checked.
    private const string DefaultExchange = "amq.default";

    private readonly UserState _user;
    private readonly string _virtualHost;
    private readonly UserPermissions? _permissions;
    private readonly Action<string>? _report;
    private readonly Dictionary<(string Exchange, Permission Permission), SafePattern?> _topics = [];

    /// <summary>Creates the access of a user.</summary>
    /// <param name="user">The user.</param>
    /// <param name="virtualHost">The virtual host.</param>
    /// <param name="permissions">The permissions under the user's name; those of an earlier user of that name do not count.</param>
    /// <param name="report">Takes a text for the log where a pattern takes too long to match. Called often; null for none.</param>
    public UserAccess(UserState user, string virtualHost, UserPermissions? permissions, Action<string>? report = null)
    {
        (_user, _virtualHost, _permissions, _report) =
            (user, virtualHost, permissions?.UserId == user.Id ? permissions : null, report);
        foreach (var (exchange, topic) in _permissions?.Topics ?? UserPermissions.All(user.Id).Topics)
        {
            _topics[(exchange, Permission.Write)] = Expand(topic.Write);
            _topics[(exchange, Permission.Read)] = Expand(topic.Read);
        }
    }

    /// <summary>Checks the opening of a virtual host.</summary>
    /// <param name="virtualHost">Its name.</param>
    /// <param name="user">The user.</param>
    /// <param name="exists">Whether the virtual host exists.</param>
    /// <param name="permissions">The permissions under the user's name in it; null for none.</param>
    public static AmqpRefusal? CheckOpen(string virtualHost, UserState user, bool exists, UserPermissions? permissions) =>
        !exists ? new AmqpRefusal(AmqpCode.NotAllowed, $"vhost {virtualHost} not found")
            : permissions?.UserId == user.Id ? null
            : new AmqpRefusal(AmqpCode.NotAllowed, $"access to vhost '{virtualHost}' refused for user '{user.Name}'");

    /// <summary>Checks a declaration of an exchange.</summary>
    /// <param name="name">The exchange.</param>
    /// <param name="alternate">Its alternate exchange; null for none.</param>
    public AmqpRefusal? CheckDeclareExchange(string name, string? alternate = null) => CheckExchange(Permission.Configure, name)
        ?? (alternate is null ? null : CheckExchange(Permission.Read, name) ?? CheckAsIs(Permission.Write, alternate));

    /// <summary>Checks a deletion of an exchange.</summary>
    public AmqpRefusal? CheckDeleteExchange(string name) => CheckExchange(Permission.Configure, name);

    /// <summary>Checks a declaration of a queue.</summary>
    /// <param name="name">The queue.</param>
    /// <param name="deadLetters">The exchange that takes its dead letters; null for none.</param>
    public AmqpRefusal? CheckDeclareQueue(string name, string? deadLetters = null) => CheckQueue(Permission.Configure, name)
        ?? (deadLetters is null ? null : CheckQueue(Permission.Read, name) ?? CheckAsIs(Permission.Write, deadLetters));

    /// <summary>Checks a deletion of a queue.</summary>
    public AmqpRefusal? CheckDeleteQueue(string name) => CheckQueue(Permission.Configure, name);

    /// <summary>Checks consume, get and purge.</summary>
    public AmqpRefusal? CheckReadQueue(string name) => CheckQueue(Permission.Read, name);

    /// <summary>Checks a publish to a topic, beside that to the default exchange.</summary>
    /// <param name="name">The topic's name among queues.</param>
    public AmqpRefusal? CheckWriteTopic(string name) => CheckQueue(Permission.Write, name);

    /// <summary>Checks a bind or unbind.</summary>
    /// <param name="request">The binding.</param>
    /// <param name="source">Its source; null if it does not exist.</param>
    public AmqpRefusal? CheckBinding(BindingRequest request, ExchangeState? source) => (request.Kind == DestinationKind.Queue
        ? CheckQueue(Permission.Write, request.Destination) : CheckExchange(Permission.Write, request.Destination))
        ?? CheckExchange(Permission.Read, request.Source) ?? CheckTopic(Permission.Read, source, request.RoutingKey);

    /// <summary>Checks a publish.</summary>
    /// <param name="name">The exchange.</param>
    /// <param name="exchange">The exchange; null if it does not exist.</param>
    /// <param name="routingKeys">The routing key, and those of the headers CC and BCC.</param>
    public AmqpRefusal? CheckPublish(string name, ExchangeState? exchange, params ReadOnlySpan<string> routingKeys)
    {
        var refusal = CheckAsIs(Permission.Write, name);
        foreach (var key in routingKeys)
            refusal ??= CheckTopic(Permission.Write, exchange, key);
        return refusal;
    }

    /// <summary>Checks the user id that a message names; null for none.</summary>
    public AmqpRefusal? CheckUserId(string? userId) => userId is null || userId == _user.Name || _user.Tags.Contains(UserState.Impersonator)
        ? null : AmqpRefusal.Precondition($"user_id property set to '{userId}' but authenticated user was '{_user.Name}'");

    // The name that the decision acts on.
    private AmqpRefusal? CheckQueue(Permission permission, string name)
    {
        name = ResourceNames.Clean(name);
        return Allows(permission, name) ? null : Refuse(permission, ResourceNames.Queue(_virtualHost, name));
    }

    private AmqpRefusal? CheckExchange(Permission permission, string name) => CheckAsIs(permission, ResourceNames.Clean(name));

    // Names of publishes and of arguments keep their line ends.
    private AmqpRefusal? CheckAsIs(Permission permission, string name)
    {
        name = name.Length == 0 ? DefaultExchange : name;
        return Allows(permission, name) ? null : Refuse(permission, ResourceNames.Exchange(_virtualHost, name));
    }

    private AmqpRefusal? CheckTopic(Permission permission, ExchangeState? exchange, string routingKey) =>
        exchange is null || ExchangeTypes.RoutingTypeOf(exchange) != ExchangeTypes.Topic
            || !_topics.TryGetValue((exchange.Name, permission), out var pattern) || Matches(permission, pattern, routingKey)
            ? null : Refuse(permission, $"topic '{routingKey}' in {ResourceNames.Exchange(_virtualHost, exchange.Name)}");

    private AmqpRefusal Refuse(Permission permission, string resource) => AmqpRefusal.Access(
        $"{permission.ToString().ToLowerInvariant()} access to {resource} refused for user '{_user.Name}'");

    private bool Allows(Permission permission, string name) => _permissions is not null && Matches(permission, permission switch
    {
        Permission.Configure => _permissions.Configure,
        Permission.Write => _permissions.Write,
        _ => _permissions.Read,
    }, name);

    // An empty pattern matches the empty name alone, none matches nothing.
    private bool Matches(Permission permission, SafePattern? pattern, string name)
    {
        if (pattern is null || pattern.Text.Length == 0)
            return pattern is not null && name.Length == 0;
        var matches = pattern.TryMatch(name);
        if (matches is null)
            _report?.Invoke($"The {permission.ToString().ToLowerInvariant()} permission of user '{_user.Name}' in virtual host "
                + $"'{_virtualHost}' refused '{name}': its pattern '{pattern}' takes too long to match. Replace it by one without nested "
                + "repetitions.");
        return matches == true;
    }

    // The names are texts in the pattern, not patterns. A pattern that is too large with them matches nothing.
    private SafePattern? Expand(string pattern)
    {
        try
        {
            // In one pass: a name that looks like a variable stays a name.
            return SafePattern.Parse(Regex.Replace(pattern, @"\{(?:username|vhost)\}",
                variable => Regex.Escape(variable.Value == "{vhost}" ? _virtualHost : _user.Name), RegexOptions.NonBacktracking));
        }
        catch (FormatException)
        {
            return null;
        }
    }
}
