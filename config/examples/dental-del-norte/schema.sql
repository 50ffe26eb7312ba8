-- Dental del Norte, an invented clinic: an older schema in latin1. Appointments are deleted to cancel them, statuses are
-- TINYINT codes, money is booked as lines of an account that alone knows the patient, refunds are negative lines.
-- MySQL 8.0+ and MariaDB 10.6+. Its events are in events.yaml beside this file.

SET NAMES utf8mb4;

CREATE TABLE sedes (
  codigo CHAR(3) NOT NULL PRIMARY KEY,
  descripcion VARCHAR(60) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

CREATE TABLE personas (
  cod_persona INT AUTO_INCREMENT PRIMARY KEY,
  -- P patient, D doctor, E employee
  tipo CHAR(1) NOT NULL,
  nombre VARCHAR(60) NOT NULL,
  apellido VARCHAR(60) NOT NULL,
  clave VARCHAR(100),
  movil VARCHAR(20),
  email VARCHAR(100),
  num_historia INT,
  sede CHAR(3),
  -- 1 active, 0 inactive, 2 on hold
  estatus TINYINT NOT NULL DEFAULT 1,
  FOREIGN KEY (sede) REFERENCES sedes (codigo)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

CREATE TABLE agenda (
  cod_cita INT AUTO_INCREMENT PRIMARY KEY,
  cod_paciente INT NOT NULL,
  cod_doctor INT NOT NULL,
  sede CHAR(3) NOT NULL,
  fecha DATE NOT NULL,
  hora TIME NOT NULL,
  hora_fin TIME,
  -- 1 booked, 2 confirmed, 3 waiting, 4 done
  estatus TINYINT NOT NULL DEFAULT 1,
  usuario INT,
  FOREIGN KEY (cod_paciente) REFERENCES personas (cod_persona)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

CREATE TABLE procedimientos (
  cod_proc VARCHAR(8) NOT NULL PRIMARY KEY,
  descripcion VARCHAR(100) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

CREATE TABLE agenda_proc (
  cod_cita INT NOT NULL,
  linea SMALLINT NOT NULL,
  cod_proc VARCHAR(8) NOT NULL,
  pieza TINYINT,
  PRIMARY KEY (cod_cita, linea),
  FOREIGN KEY (cod_proc) REFERENCES procedimientos (cod_proc)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

-- One account a patient and treatment plan.
CREATE TABLE pagos (
  cod_pago INT AUTO_INCREMENT PRIMARY KEY,
  cod_paciente INT NOT NULL,
  cod_plan INT,
  saldo DECIMAL(10, 2) NOT NULL DEFAULT 0.00,
  FOREIGN KEY (cod_paciente) REFERENCES personas (cod_persona)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

CREATE TABLE detalle_pagos (
  cod_pago INT NOT NULL,
  renglon INT NOT NULL,
  monto DECIMAL(10, 2) NOT NULL,
  -- 1 cash, 2 card, 3 transfer, 4 check
  medio TINYINT NOT NULL,
  referencia VARCHAR(60),
  usuario INT,
  fecha TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (cod_pago, renglon),
  FOREIGN KEY (cod_pago) REFERENCES pagos (cod_pago)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

CREATE TABLE planes (
  cod_plan INT AUTO_INCREMENT PRIMARY KEY,
  cod_paciente INT NOT NULL,
  total DECIMAL(10, 2) NOT NULL DEFAULT 0.00,
  aprobado BIT(1) NOT NULL DEFAULT b'0',
  FOREIGN KEY (cod_paciente) REFERENCES personas (cod_persona)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

CREATE TABLE planes_lineas (
  cod_plan INT NOT NULL,
  linea SMALLINT NOT NULL,
  cod_proc VARCHAR(8) NOT NULL,
  precio DECIMAL(10, 2) NOT NULL,
  PRIMARY KEY (cod_plan, linea),
  FOREIGN KEY (cod_plan) REFERENCES planes (cod_plan)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

-- Records and consents in one table: tipo is H or C.
CREATE TABLE documentos (
  cod_doc INT AUTO_INCREMENT PRIMARY KEY,
  tipo CHAR(1) NOT NULL,
  cod_paciente INT NOT NULL,
  cod_doctor INT,
  titulo VARCHAR(120),
  texto TEXT,
  firmado BIT(1) NOT NULL DEFAULT b'0',
  fecha_firma DATETIME,
  FOREIGN KEY (cod_paciente) REFERENCES personas (cod_persona)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

CREATE TABLE mensajes (
  cod_mensaje INT AUTO_INCREMENT PRIMARY KEY,
  asunto VARCHAR(20) NOT NULL,
  medio VARCHAR(10) NOT NULL,
  cod_cita INT,
  -- 0 in the queue, 1 sent, 9 failed
  estatus TINYINT NOT NULL DEFAULT 0,
  enviado TIMESTAMP NULL
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

CREATE TABLE existencias (
  cod_articulo INT NOT NULL,
  sede CHAR(3) NOT NULL,
  cantidad DECIMAL(10, 3) NOT NULL,
  PRIMARY KEY (cod_articulo, sede)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

CREATE TABLE articulos (
  cod_articulo INT AUTO_INCREMENT PRIMARY KEY,
  descripcion VARCHAR(100) NOT NULL,
  -- 0: not kept in stock
  minimo DECIMAL(10, 3) NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

INSERT INTO sedes VALUES ('SDQ', 'Santo Domingo'), ('STI', 'Santiago');
INSERT INTO personas (cod_persona, tipo, nombre, apellido, clave, movil, num_historia, sede) VALUES
  (1, 'D', 'Óscar', 'Muñoz', '!', NULL, NULL, 'STI'),
  (2, 'P', 'María José', 'Báez Ureña', NULL, '829-555-0301', 5001, 'STI');
INSERT INTO procedimientos VALUES ('D1110', 'Limpieza'), ('D7140', 'Extracción');
INSERT INTO articulos VALUES (1, 'Algodón', 2.000), (2, 'Cepillo', 0);
INSERT INTO existencias VALUES (1, 'STI', 4.500), (1, 'SDQ', 9.000), (2, 'STI', 3);
