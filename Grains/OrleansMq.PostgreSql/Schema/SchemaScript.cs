using System.Globalization;
using System.Reflection;

namespace OrleansMq.PostgreSql.Schema;

/// <summary>One step of the schema: a file of <c>deploy/postgres/</c>, embedded in this library.</summary>
/// <param name="Version">The schema's version after the script: the number at the start of the file's name, 1 or more.</param>
/// <param name="Name">The file's name without its extension.</param>
/// <param name="Text">Idempotent statements that also record the version in the database.</param>
internal sealed record SchemaScript(int Version, string Name, string Text)
{
    /// <summary>All scripts in ascending order: versions 1, 2, 3 and so on.</summary>
    public static IReadOnlyList<SchemaScript> All { get; } = ReadAll();

    private static SchemaScript[] ReadAll()
    {
        var assembly = typeof(SchemaScript).Assembly;
        return [.. assembly.GetManifestResourceNames().Order(StringComparer.Ordinal).Select(name => Read(assembly, name))];
    }

    private static SchemaScript Read(Assembly assembly, string name)
    {
        using var reader = new StreamReader(assembly.GetManifestResourceStream(name)!);
        var number = name.AsSpan(0, name.IndexOf('-', StringComparison.Ordinal));
        return new SchemaScript(int.Parse(number, CultureInfo.InvariantCulture), name, reader.ReadToEnd());
    }
}
