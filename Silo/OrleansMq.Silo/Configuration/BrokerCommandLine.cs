using System.CommandLine;
using System.CommandLine.Help;

namespace OrleansMq.Silo.Configuration;

/// <summary>The program's flags: one for each of <see cref="Settings.All"/>, and three that are not settings.</summary>
internal sealed class BrokerCommandLine
{
    private const string Description = """
        The OrleansMq broker. It serves topics over HTTP (port 8080) and Kafka's protocol (port 9092), from local disk.

        Example: omq up --data /var/lib/orleansmq --http 127.0.0.1:8080 --flush sync

        Every flag but --config, --json and --standalone is also an environment variable (--broker-id is OMQ_BROKER_ID) and a key of the
        configuration file (brokerId). A flag beats the environment, which beats the file.

        Exit codes: 0 stopped as asked, 1 could not start, 2 wrong usage, 3 its cluster declared it dead (start it again and it rejoins),
        4 another process holds a port that it needs.
        """;

    private readonly Option<string> _config = new("--config")
    {
        Description =
            "A JSON file with settings, such as {\"data\": \"/var/lib/orleansmq\", \"topicDefaults\": {\"retention.ms\": 86400000}}.",
        HelpName = "FILE",
    };
    private readonly Option<bool> _standalone = new("--standalone") { Description = "The same as --flavour standalone." };
    private readonly Option<bool> _json = new("--json") { Description = "Print the ready line as JSON." };
    private readonly Dictionary<string, Option<string>> _settings = [];
    private readonly Dictionary<string, Option<string[]>> _lists = [];
    private readonly RootCommand _root = new(Description);

    /// <summary>Builds the flags from the table of settings.</summary>
    public BrokerCommandLine()
    {
        foreach (var setting in Settings.All)
        {
            if (setting.IsList)
            {
                var list = new Option<string[]>(setting.Flag) { Description = setting.Help, HelpName = setting.ValueName };
                _lists.Add(setting.Key, list);
                _root.Options.Add(list);
                continue;
            }
            var option = new Option<string>(setting.Flag) { Description = setting.Help, HelpName = setting.ValueName };
            _settings.Add(setting.Key, option);
            _root.Options.Add(option);
        }
        _root.Options.Add(_config);
        _root.Options.Add(_standalone);
        _root.Options.Add(_json);
    }

    /// <summary>Parses the flags.</summary>
    /// <exception cref="SettingsException">A flag is unknown, or its value is missing.</exception>
    public Invocation Parse(string[] args)
    {
        var result = _root.Parse(args);
        if (result.Errors is [var error, ..] && result.Action is not HelpAction)
            throw new SettingsException($"{error.Message} See --help.");
        if (result.Action is not null)
        {
            return new Invocation(output => result.Invoke(new InvocationConfiguration { Output = output }),
                new Dictionary<string, string>(), null, false);
        }

        var flags = new Dictionary<string, string>();
        foreach (var (key, option) in _settings)
        {
            if (result.GetValue(option) is { } value)
                flags.Add(key, value);
        }
        foreach (var (key, option) in _lists)
        {
            if (result.GetValue(option) is { Length: > 0 } values)
                flags.Add(key, string.Join(';', values));
        }
        if (result.GetValue(_standalone))
            AddStandalone(flags);
        return new Invocation(null, flags, result.GetValue(_config), result.GetValue(_json));
    }

    private static void AddStandalone(Dictionary<string, string> flags)
    {
        if (flags.TryGetValue("flavour", out var flavour) && !string.Equals(flavour, "standalone", StringComparison.OrdinalIgnoreCase))
            throw new SettingsException($"--standalone and --flavour {flavour} contradict each other; give one of them.");
        flags["flavour"] = "standalone";
    }
}

/// <summary>A parsed command line.</summary>
/// <param name="Answer">Writes help or version instead of running the broker, and returns the exit code; null to run it.</param>
/// <param name="Flags">The values of the given flags, by <see cref="Setting.Key"/>.</param>
/// <param name="ConfigFile">The configuration file, or null.</param>
/// <param name="Json">Whether the ready line is JSON.</param>
internal sealed record Invocation(Func<TextWriter, int>? Answer, IReadOnlyDictionary<string, string> Flags, string? ConfigFile, bool Json);
