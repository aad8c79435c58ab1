using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>A method: its class and its index in the class. 0 and 0 is none.</summary>
internal readonly record struct MethodId(ushort ClassId, ushort Index)
{
    /// <summary>The name, such as <c>basic.publish</c>, or the numbers.</summary>
    public override string ToString() => MethodTable.NameOf(this) ?? $"{ClassId}.{Index}";
}

/// <summary>A method with its arguments.</summary>
internal interface IMethod
{
    /// <summary>Which method it is.</summary>
    MethodId Id { get; }

    /// <summary>Writes the arguments.</summary>
    void Write(ref FieldWriter writer);
}
