using System.Reflection;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Tests.Amqp.Wire;

/// <summary>Random methods, tables and properties.</summary>
internal static class RandomMethods
{
    private static readonly Dictionary<MethodId, Type> Types = typeof(IMethod).Assembly.GetTypes()
        .Where(static type => type.IsValueType && type.IsAssignableTo(typeof(IMethod)))
        .ToDictionary(static type => (MethodId)type.GetProperty("Id", BindingFlags.Public | BindingFlags.Static)!.GetValue(null)!);

    /// <summary>All types of methods by their ids.</summary>
    public static IReadOnlyCollection<MethodId> Ids => Types.Keys;

    public static IMethod Method(MethodId id, Random random)
    {
        var type = Types[id];
        var constructor = type.GetConstructors().OrderByDescending(static found => found.GetParameters().Length).FirstOrDefault();
        return (IMethod)(constructor is null ? Activator.CreateInstance(type)!
            : constructor.Invoke([.. constructor.GetParameters().Select(parameter => Value(parameter.ParameterType, random))]));
    }

    public static FieldTable Table(Random random, int depth = 0)
    {
        var entries = new (string, FieldValue)[random.Next(5)];
        for (var index = 0; index < entries.Length; index++)
            entries[index] = (Text(random, 20), Field(random, depth));
        return FieldTable.Of(entries);
    }

    public static ContentProperties Properties(Random random)
    {
        var properties = ContentProperties.None;
        foreach (var property in Enum.GetValues<BasicProperty>().Where(_ => random.Next(3) == 0))
        {
            properties = property switch
            {
                BasicProperty.Headers => properties.With(Table(random)),
                BasicProperty.DeliveryMode or BasicProperty.Priority => properties.With(property, [(byte)random.Next(256)]),
                BasicProperty.Timestamp => properties.With(property, Bytes(random, 8)),
                _ => properties.With(property, Text(random, 60)),
            };
        }
        return properties;
    }

    private static FieldValue Field(Random random, int depth)
    {
        switch (random.Next(depth < 4 ? 13 : 11))
        {
            case 0: return FieldValue.Void;
            case 1: return FieldValue.Of(random.Next(2) == 0);
            case 2: return FieldValue.Of(random.Next());
            case 3: return FieldValue.Of(random.NextInt64());
            case 4: return FieldValue.Of(random.NextDouble());
            case 5: return FieldValue.Of(Text(random, 40));
            case 6: return FieldValue.OfBytes(Bytes(random, random.Next(40)));
            case 7: return FieldValue.OfTimestamp(random.NextInt64());
            case 8: return new FieldValue(FieldType.Decimal, Bytes(random, 5));
            case 9: return new FieldValue(random.Next(2) == 0 ? FieldType.UInt8 : FieldType.Int8, Bytes(random, 1));
            case 10: return new FieldValue(random.Next(2) == 0 ? FieldType.UInt16 : FieldType.Int16, Bytes(random, 2));
            case 11: return FieldValue.Of(Table(random, depth + 1));
            default:
                var values = new FieldValue[random.Next(4)];
                for (var index = 0; index < values.Length; index++)
                    values[index] = Field(random, depth + 1);
                return FieldValue.OfArray(values);
        }
    }

    private static object Value(Type type, Random random) => type switch
    {
        _ when type == typeof(string) => Text(random, 80),
        _ when type == typeof(bool) => random.Next(2) == 0,
        _ when type == typeof(byte) => (byte)random.Next(256),
        _ when type == typeof(ushort) => (ushort)random.Next(65536),
        _ when type == typeof(uint) => (uint)random.NextInt64(1L << 32),
        _ when type == typeof(ulong) => (ulong)random.NextInt64(),
        _ when type == typeof(LongString) => new LongString(Bytes(random, random.Next(50))),
        _ when type == typeof(FieldTable) => Table(random),
        _ => throw new InvalidOperationException($"No random value of {type}."),
    };

    private static string Text(Random random, int most) =>
        string.Concat(Enumerable.Range(0, random.Next(most)).Select(_ => random.Next(10) == 0 ? 'ä' : (char)random.Next(' ', '~')));

    private static byte[] Bytes(Random random, int count)
    {
        var bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }
}
