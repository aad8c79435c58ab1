using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace OrleansMq.Cli.Records;

/// <summary>Options that several commands share.</summary>
internal static class RecordOptions
{
    /// <summary><c>--acks all|replicated|1|0</c>.</summary>
    public static Option<string> Acks()
    {
        var acks = new Option<string>("--acks")
        {
            Description = "When a record is acknowledged: all in-sync replicas have it (all: flushed, where the topic says so; "
                + "replicated: in memory), the leader has it (1), or it was sent (0). With 1 and 0 a retry may duplicate records.",
            HelpName = "all|replicated|1|0",
            DefaultValueFactory = _ => "all",
        };
        acks.AcceptOnlyFromAmong("all", "replicated", "1", "0");
        return acks;
    }

    /// <summary>Parses the value of <see cref="Acks"/>.</summary>
    public static Acks ParseAcks(string text) => text switch
    {
        "0" => OrleansMq.Acks.None,
        "1" => OrleansMq.Acks.Leader,
        "replicated" => OrleansMq.Acks.Replicated,
        _ => OrleansMq.Acks.All,
    };

    /// <summary><c>--compression none|gzip|snappy|lz4|zstd</c>.</summary>
    public static Option<string> Compression()
    {
        var compression = new Option<string>("--compression")
        {
            Description = "The codec of the batches.",
            HelpName = "none|gzip|snappy|lz4|zstd",
            DefaultValueFactory = _ => "none",
        };
        compression.AcceptOnlyFromAmong("none", "gzip", "snappy", "lz4", "zstd");
        return compression;
    }

    /// <summary>Parses the value of <see cref="Compression"/>.</summary>
    public static CompressionType ParseCompression(string text) => Enum.Parse<CompressionType>(text, ignoreCase: true);

    /// <summary>Rejects numbers below a minimum.</summary>
    public static Option<T> AtLeast<T>(this Option<T> option, long least) where T : struct, IConvertible
    {
        option.Validators.Add(result => Require(result, option.Name, least));
        return option;
    }

    /// <summary>Rejects numbers below a minimum; the option may be absent.</summary>
    public static Option<T?> AtLeast<T>(this Option<T?> option, long least) where T : struct, IConvertible
    {
        option.Validators.Add(result => Require(result, option.Name, least));
        return option;
    }

    // What is no number is refused by the parser itself.
    private static void Require(OptionResult result, string name, long least)
    {
        if (result.Tokens is [{ Value: var text }] && long.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out var value)
            && value < least)
            result.AddError($"{name} is {value}; it is at least {least}.");
    }
}
