using System.Buffers;
using System.Collections.Immutable;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace OrleansMq.VirtualHosts;

/// <summary>A user of definitions.</summary>
internal sealed record DefinedUser(string Name, string PasswordHash, string HashingAlgorithm, ImmutableArray<string> Tags);

/// <summary>Permissions of definitions.</summary>
internal sealed record DefinedPermissions(string User, SafePattern Configure, SafePattern Write, SafePattern Read);

/// <summary>The limits of a virtual host in definitions; null for no limit.</summary>
internal sealed record DefinedLimits(int? MaxConnections, int? MaxQueues);

/// <summary>A topic permission of definitions.</summary>
internal sealed record DefinedTopicPermission(string User, string Exchange, TopicPermission Permission);

/// <summary>A part of a virtual host in definitions, with its place in the file, which messages name.</summary>
internal readonly record struct Defined<T>(string Path, string VirtualHost, T Value);

/// <summary>
/// Definitions in RabbitMQ's JSON: what an operator takes from one cluster to another. Settings that have no meaning here, such as
/// those of shovels, are left out, and <see cref="Ignored"/> names them.
/// </summary>
internal sealed record Definitions
{
    /// <summary>The component of the parameters that are operator policies.</summary>
    internal const string OperatorPolicy = "operator_policy";

    /// <summary>The users.</summary>
    public ImmutableArray<DefinedUser> Users { get; init; } = [];

    /// <summary>The virtual hosts.</summary>
    public ImmutableArray<VirtualHostSettings> VirtualHosts { get; init; } = [];

    /// <summary>The permissions.</summary>
    public ImmutableArray<Defined<DefinedPermissions>> Permissions { get; init; } = [];

    /// <summary>The topic permissions.</summary>
    public ImmutableArray<Defined<DefinedTopicPermission>> TopicPermissions { get; init; } = [];

    /// <summary>The policies.</summary>
    public ImmutableArray<Defined<Policy>> Policies { get; init; } = [];

    /// <summary>The operator policies, which RabbitMQ keeps among the parameters.</summary>
    public ImmutableArray<Defined<Policy>> OperatorPolicies { get; init; } = [];

    /// <summary>The limits of virtual hosts, which RabbitMQ keeps among the parameters, too.</summary>
    public ImmutableArray<Defined<DefinedLimits>> Limits { get; init; } = [];

    /// <summary>The exchanges.</summary>
    public ImmutableArray<Defined<ExchangeDeclaration>> Exchanges { get; init; } = [];

    /// <summary>The queues.</summary>
    public ImmutableArray<Defined<QueueDeclaration>> Queues { get; init; } = [];

    /// <summary>The bindings.</summary>
    public ImmutableArray<Defined<BindingRequest>> Bindings { get; init; } = [];

    /// <summary>What the file has besides, by its place.</summary>
    public ImmutableArray<string> Ignored { get; init; } = [];

    /// <summary>Reads definitions.</summary>
    /// <param name="json">The file.</param>
    /// <param name="virtualHost">The virtual host of what names none; null if all must name one.</param>
    /// <exception cref="FormatException">The file is damaged, or a value is not allowed; the message names its place.</exception>
    public static Definitions Parse(ReadOnlyMemory<byte> json, string? virtualHost = null)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return Parse(new JsonFields(document.RootElement, ""), virtualHost);
        }
        catch (JsonException damaged)
        {
            throw new FormatException($"The definitions are not JSON: {damaged.Message}", damaged);
        }
    }

    /// <summary>Writes the definitions of virtual hosts.</summary>
    /// <param name="users">All users; empty to export a virtual host alone.</param>
    /// <param name="hosts">The virtual hosts.</param>
    /// <param name="version">The version of RabbitMQ that readers are to expect.</param>
    public static byte[] Export(IEnumerable<UserState> users, IReadOnlyList<VirtualHostState> hosts, string version)
    {
        var known = users.ToDictionary(user => user.Name, StringComparer.Ordinal);
        var buffer = new ArrayBufferWriter<byte>();
        // The file is no web page: a plus sign of base64 stays as it is.
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
            new DefinitionsWriter(writer, known, hosts).Write(version);
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>Returns what concerns one virtual host, without users.</summary>
    public Definitions Of(string virtualHost) => new()
    {
        VirtualHosts = [.. VirtualHosts.Where(host => host.Name == virtualHost)],
        Permissions = [.. Permissions.Where(item => item.VirtualHost == virtualHost)],
        TopicPermissions = [.. TopicPermissions.Where(item => item.VirtualHost == virtualHost)],
        Policies = [.. Policies.Where(item => item.VirtualHost == virtualHost)],
        OperatorPolicies = [.. OperatorPolicies.Where(item => item.VirtualHost == virtualHost)],
        Limits = [.. Limits.Where(item => item.VirtualHost == virtualHost)],
        Exchanges = [.. Exchanges.Where(item => item.VirtualHost == virtualHost)],
        Queues = [.. Queues.Where(item => item.VirtualHost == virtualHost)],
        Bindings = [.. Bindings.Where(item => item.VirtualHost == virtualHost)],
    };

    private static Definitions Parse(JsonFields root, string? virtualHost)
    {
        var operators = new List<Defined<Policy>>();
        var limits = new List<Defined<DefinedLimits>>();
        var ignored = new List<string>();
        foreach (var parameter in root.Items("parameters"))
        {
            switch (parameter.Text("component"))
            {
                case OperatorPolicy:
                    operators.Add(In(parameter, virtualHost, PolicyOf(parameter.Object("value"), parameter.Text("name"))));
                    break;
                case VirtualHostLimits.Component:
                    limits.Add(In(parameter, virtualHost, LimitsOf(parameter.Object("value"))));
                    break;
                case var component:
                    ignored.Add($"{parameter.Path}: the component '{component}'");
                    break;
            }
        }
        ignored.AddRange(root.Items("global_parameters").Select(parameter => $"{parameter.Path}: '{parameter.Text("name")}'"));
        return new Definitions
        {
            Users = [.. root.Items("users").Select(UserOf)],
            VirtualHosts = [.. root.Items("vhosts").Select(HostOf)],
            Permissions = [.. root.Items("permissions").Select(item => In(item, virtualHost,
                new DefinedPermissions(item.Text("user"), item.Pattern("configure"), item.Pattern("write"), item.Pattern("read"))))],
            TopicPermissions = [.. root.Items("topic_permissions").Select(item => In(item, virtualHost, TopicOf(item)))],
            Policies = [.. root.Items("policies").Select(item => In(item, virtualHost, PolicyOf(item, item.Text("name"))))],
            OperatorPolicies = [.. operators],
            Limits = [.. limits],
            Exchanges = [.. root.Items("exchanges").Select(item => In(item, virtualHost, new ExchangeDeclaration
            {
                Name = item.Text("name"),
                Type = item.Text("type"),
                Durable = item.Flag("durable", true),
                AutoDelete = item.Flag("auto_delete", false),
                Internal = item.Flag("internal", false),
                Arguments = item.Table("arguments"),
            }))],
            Queues = [.. root.Items("queues").Select(item => In(item, virtualHost, new QueueDeclaration
            {
                Name = ResourceNames.Clean(item.Text("name")) is { Length: > 0 } name ? name
                    : throw item.Wrong("name", "must not be empty"),
                Durable = item.Flag("durable", true),
                AutoDelete = item.Flag("auto_delete", false),
                Arguments = item.Table("arguments"),
            }))],
            Bindings = [.. root.Items("bindings").Select(item => In(item, virtualHost, new BindingRequest(item.Text("source"),
                item.Text("destination_type") switch
                {
                    "queue" => DestinationKind.Queue,
                    "exchange" => DestinationKind.Exchange,
                    var other => throw item.Wrong("destination_type", $"must be queue or exchange, not '{other}'"),
                }, item.Text("destination"), item.Text("routing_key", ""), item.Table("arguments"))))],
            Ignored = [.. ignored],
        };
    }

    private static Defined<T> In<T>(JsonFields item, string? virtualHost, T value) =>
        new(item.Path, item.Text("vhost", virtualHost), value);

    private static DefinedUser UserOf(JsonFields item)
    {
        var (hash, algorithm) = (item.Text("password_hash", ""), item.Text("hashing_algorithm", PasswordHash.Sha256));
        if (PasswordHash.FaultOf(hash, algorithm) is { } fault)
            throw item.Wrong(null, fault);
        return new DefinedUser(item.Text("name"), hash, algorithm, item.Tags("tags"));
    }

    private static VirtualHostSettings HostOf(JsonFields item) => new()
    {
        Name = item.Text("name"),
        Description = item.Text("description", "") is { Length: > 0 } description ? description : null,
        Tags = item.Tags("tags"),
        DefaultQueueType = item.Text("default_queue_type", "undefined") is var type && type is "undefined" ? null
            : QueueArguments.TypeOf(FieldTable.Of((QueueArguments.Type, new TextValue(type))))
                ?? throw item.Wrong("default_queue_type", $"must be classic, quorum or stream, not '{type}'"),
    };

    private static DefinedLimits LimitsOf(JsonFields item) => new(
        VirtualHostLimits.Of(item.Integer(VirtualHostLimits.MaxConnections, -1)),
        VirtualHostLimits.Of(item.Integer(VirtualHostLimits.MaxQueues, -1)));

    private static DefinedTopicPermission TopicOf(JsonFields item)
    {
        // Names take the place of the variables later; the rest must be a pattern now.
        item.Pattern("write");
        item.Pattern("read");
        return new DefinedTopicPermission(item.Text("user"), item.Text("exchange"),
            new TopicPermission(item.Text("write"), item.Text("read")));
    }

    /// <summary>Reads a policy.</summary>
    /// <exception cref="FormatException">A value is not allowed; the message names it.</exception>
    internal static Policy PolicyOf(JsonFields item, string name)
    {
        var definition = item.Object("definition");
        var settings = item.Table("definition");
        foreach (var (key, value) in settings.Fields)
        {
            if (PolicyKeys.FaultOf(key, value) is { } fault)
                throw definition.Wrong(key, fault);
        }
        return new Policy
        {
            Name = name,
            Pattern = item.Pattern("pattern"),
            Definition = settings,
            Priority = item.Integer("priority", 0),
            ApplyTo = item.Text("apply-to", "all") switch
            {
                "all" => PolicyTarget.All,
                "queues" => PolicyTarget.Queues,
                "exchanges" => PolicyTarget.Exchanges,
                "classic_queues" => PolicyTarget.ClassicQueues,
                "quorum_queues" => PolicyTarget.QuorumQueues,
                "streams" => PolicyTarget.Streams,
                var other => throw item.Wrong("apply-to",
                    $"must be all, queues, exchanges, classic_queues, quorum_queues or streams, not '{other}'"),
            },
        };
    }
}

/// <summary>A JSON object with its place in a file, which errors name.</summary>
internal readonly struct JsonFields
{
    private readonly JsonElement _json;

    /// <summary>Creates it from a JSON value.</summary>
    /// <exception cref="FormatException">The value is no object.</exception>
    public JsonFields(JsonElement json, string path)
    {
        (_json, Path) = (json, path);
        if (json.ValueKind != JsonValueKind.Object)
            throw new FormatException($"{(path.Length == 0 ? "The definitions" : path)} must be an object, not {json.ValueKind}.");
    }

    /// <summary>Its place, for example <c>queues[3]</c>.</summary>
    public string Path { get; }

    /// <summary>Returns the objects of a list; none if there is no list.</summary>
    public IEnumerable<JsonFields> Items(string name)
    {
        if (Find(name) is not { } list)
            return [];
        if (list.ValueKind != JsonValueKind.Array)
            throw Wrong(name, $"must be a list, not {list.ValueKind}");
        var path = PathOf(name);
        return list.EnumerateArray().Select((item, index) => new JsonFields(item, $"{path}[{index}]"));
    }

    /// <summary>Returns an object.</summary>
    public JsonFields Object(string name) => new(Find(name) ?? throw Wrong(name, "is missing"), PathOf(name));

    /// <summary>Returns a text.</summary>
    /// <param name="name">The field.</param>
    /// <param name="otherwise">The text if the field is missing; null if it must be there.</param>
    public string Text(string name, string? otherwise = null) => Find(name) switch
    {
        { ValueKind: JsonValueKind.String } text => text.GetString()!,
        null => otherwise ?? throw Wrong(name, "is missing"),
        { } other => throw Wrong(name, $"must be a text, not {other.GetRawText()}"),
    };

    /// <summary>Returns a boolean.</summary>
    public bool Flag(string name, bool otherwise) => Find(name) switch
    {
        null => otherwise,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        // As rabbitmqadmin sends it.
        { ValueKind: JsonValueKind.String } text when bool.TryParse(text.GetString(), out var flag) => flag,
        { } other => throw Wrong(name, $"must be true or false, not {other.GetRawText()}"),
    };

    /// <summary>Returns an integer.</summary>
    public int Integer(string name, int otherwise) => Find(name) switch
    {
        null => otherwise,
        { ValueKind: JsonValueKind.Number } number when number.TryGetInt32(out var value) => value,
        { ValueKind: JsonValueKind.String } text when int.TryParse(text.GetString(), NumberStyles.AllowLeadingSign,
            CultureInfo.InvariantCulture, out var parsed) => parsed,
        { } other => throw Wrong(name, $"must be an integer, not {other.GetRawText()}"),
    };

    /// <summary>Returns arguments; none if there are none. RabbitMQ writes an empty table as an empty list now and then.</summary>
    public FieldTable Table(string name) => Find(name) switch
    {
        null => FieldTable.Empty,
        { ValueKind: JsonValueKind.Object } table => FieldJson.ReadTable(table, isMarked: false),
        { ValueKind: JsonValueKind.Array } list when list.GetArrayLength() == 0 => FieldTable.Empty,
        { } other => throw Wrong(name, $"must be an object, not {other.GetRawText()}"),
    };

    /// <summary>Returns a regular expression.</summary>
    public SafePattern Pattern(string name)
    {
        try
        {
            return SafePattern.Parse(Text(name));
        }
        catch (FormatException wrong) when (wrong is not DefinitionsException)
        {
            throw Wrong(name, wrong.Message.TrimEnd('.'));
        }
    }

    /// <summary>Returns tags: a list, or as earlier versions wrote them, a text with commas.</summary>
    public ImmutableArray<string> Tags(string name)
    {
        switch (Find(name))
        {
            case null:
                return [];
            case { ValueKind: JsonValueKind.String } text:
                return [.. text.GetString()!.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)];
            case { ValueKind: JsonValueKind.Array } list when list.EnumerateArray().All(tag => tag.ValueKind == JsonValueKind.String):
                return [.. list.EnumerateArray().Select(tag => tag.GetString()!)];
            case { } other:
                throw Wrong(name, $"must be a list of texts, not {other.GetRawText()}");
        }
    }

    /// <summary>Returns the error of a field.</summary>
    public DefinitionsException Wrong(string? name, string fault) => new($"{(name is null ? $"{Path}:" : PathOf(name))} {fault}.");

    private JsonElement? Find(string name) =>
        _json.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private string PathOf(string name) => Path.Length == 0 ? name : $"{Path}.{name}";
}

/// <summary>A field of definitions is not allowed; the message names it.</summary>
internal sealed class DefinitionsException(string message) : FormatException(message);
